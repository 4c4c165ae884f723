import Base
import Testing

@testable import Share

/// Whole devices over virtual pipes: from a call of the filesystem on one to the view on another.
@Suite struct ConvergenceTests {
    @Test func `a clock that is years ahead is told of, and takes no edit away`() throws {
        let network = Network(seed: 2)
        let alice = try network.addDevice("alice")
        let bob = try network.addDevice("bob")
        network.connect(bob, alice)
        network.run()
        #expect(bob.volume.status().problems.isEmpty)
        let years = Int64(10 * 365 * 86400)
        alice.clockSkew = years + 3600
        try alice.write("f", "from the future")
        network.run()
        try #require(bob.volume.status().problems.count == 1)
        #expect(bob.volume.status().problems[0].contains("3650 days ahead"))
        #expect(alice.volume.status().problems.isEmpty)
        alice.clockSkew = -years
        try bob.write("f", "after it")
        network.run()
        try alice.write("f", "and after that")
        network.run()
        #expect(try bob.read("f") == Array("and after that".utf8))
        #expect(try alice.read("f") == Array("and after that".utf8))
        #expect(alice.volume.status().conflicts == 0)
        #expect(alice.volume.status().digest == bob.volume.status().digest)
    }

    @Test func `a share's root has the time of its founding until something is made in it`() throws
    {
        let network = Network(seed: 1)
        let alice = try network.addDevice("alice")
        let bob = try network.addDevice("bob")
        let founded = try alice.volume.attributes(of: .root).modified
        #expect(founded == alice.wallTime())
        network.connect(bob, alice)
        network.run()
        #expect(try bob.volume.attributes(of: .root).modified == founded)
        try bob.write("f", "one")
        #expect(try bob.volume.attributes(of: .root).modified > founded)
    }

    @Test func `a file written on one device is read on another`() throws {
        let network = Network(seed: 1)
        let alice = try network.addDevice("alice")
        let bob = try network.addDevice("bob")
        network.connect(bob, alice)
        network.run()
        #expect(bob.volume.isAdmitted, "\(network.log)")
        try alice.mkdir("docs")
        try alice.write("docs/note.txt", "hello")
        network.run()
        #expect(try bob.text("docs/note.txt") == "hello", "\(network.log)")
        try bob.write("docs/note.txt", "hello from bob")
        network.run()
        #expect(try alice.text("docs/note.txt") == "hello from bob", "\(network.log)")
        #expect(alice.volume.status().digest == bob.volume.status().digest)
        #expect(alice.volume.status().pending == ShareStatus.Pending())
        #expect(try alice.names("docs") == ["note.txt"])
    }

    @Test func `a large file travels in chunks, an edit of it in few`() throws {
        let network = Network(seed: 2)
        let alice = try network.addDevice("alice")
        let bob = try network.addDevice("bob")
        network.connect(bob, alice)
        network.run()
        var random = SeededRandom(seed: 3)
        var bytes = random.bytes(12 << 20)
        try alice.write("big", bytes)
        network.run()
        #expect(try bob.read("big") == bytes, "\(network.log)")
        let before = alice.volume.status().peers.first?.bytesSent ?? 0
        bytes.replaceSubrange(5 << 20..<(5 << 20) + 4096, with: random.bytes(4096))
        try alice.write("big", bytes)
        network.run()
        #expect(try bob.read("big") == bytes)
        let sent = (alice.volume.status().peers.first?.bytesSent ?? 0) - before
        #expect(sent < 2 << 20)
    }

    @Test func `offline edits on both sides come together`() throws {
        let network = Network(seed: 4)
        let alice = try network.addDevice("alice")
        let bob = try network.addDevice("bob")
        network.connect(bob, alice)
        network.run()
        try alice.mkdir("d")
        try alice.write("d/a", "a")
        try alice.write("both", "base")
        network.run()
        network.disconnectAll()
        try alice.rename("d", "e")
        try alice.write("both", "alice's")
        try bob.write("d/b", "b")
        try bob.write("both", "bob's")
        network.run()
        network.connect(alice, bob)
        network.run()
        #expect(alice.volume.status().digest == bob.volume.status().digest, "\(network.log)")
        #expect(try alice.names("e") == ["a", "b"])
        let shown = try [
            alice.text("both"),
            alice.names().filter { $0.hasPrefix("both (") }.first
                .map { try alice.text($0) } ?? nil,
        ]
        #expect(Set(shown) == ["alice's", "bob's"])
        #expect(try bob.names() == alice.names())
        #expect(alice.volume.status().conflicts == 1)
    }

    @Test func `a removed conflict copy is gone for everybody, also when two made the same edit`()
        throws
    {
        let network = Network(seed: 11)
        let devices = try ["alice", "bob", "carol"].map { try network.addDevice($0) }
        for device in devices.dropFirst() {
            network.connect(device, devices[0])
            network.run(seconds: 2)
        }
        try devices[0].write("f", "base")
        network.run()
        network.disconnectAll()
        try devices[0].write("f", "same")
        try devices[1].write("f", "same")
        network.run(seconds: 1)
        try devices[2].write("f", "other")
        for device in devices.dropFirst() { network.connect(device, devices[0]) }
        network.run()
        let copy = try #require(try devices[0].names().first { $0 != "f" })
        #expect(try devices[0].text("f") == "other")
        #expect(try devices[0].text(copy) == "same")
        try devices[1].unlink(copy)
        network.run()
        for device in devices {
            #expect(try device.names() == ["f"])
            #expect(device.volume.status().conflicts == 0)
        }
    }

    @Test func `a third device gets everything through the second`() throws {
        let network = Network(seed: 5)
        let alice = try network.addDevice("alice")
        let bob = try network.addDevice("bob")
        network.connect(bob, alice)
        network.run()
        var random = SeededRandom(seed: 6)
        let bytes = random.bytes(3 << 20)
        try alice.write("photo", bytes)
        try bob.write("note", "n")
        network.run()
        network.disconnectAll()
        let carol = try network.addDevice("carol")
        network.connect(carol, bob)
        network.run()
        #expect(try carol.read("photo") == bytes, "\(network.log)")
        #expect(try carol.text("note") == "n")
        #expect(carol.volume.status().digest == bob.volume.status().digest)
    }

    @Test func `a save by rename keeps the file's identity`() throws {
        let network = Network(seed: 7)
        let alice = try network.addDevice("alice")
        let bob = try network.addDevice("bob")
        network.connect(bob, alice)
        network.run()
        try alice.write("f", "one")
        network.run()
        let identity = try alice.directory("f")
        try alice.write(".f.tmp", "two")
        try alice.rename(".f.tmp", "f")
        #expect(try alice.directory("f") == identity)
        #expect(try alice.names() == ["f"])
        network.run()
        #expect(try bob.text("f") == "two")
        // And a save by rename against a version the program never saw is a conflict, not a loss.
        network.disconnectAll()
        try bob.write("f", "bob's")
        try alice.write(".f.tmp", "three")
        try alice.rename(".f.tmp", "f")
        network.connect(alice, bob)
        network.run()
        #expect(try alice.names().count == 2)
        #expect(alice.volume.status().digest == bob.volume.status().digest)
    }

    @Test func `one person alternating between devices never sees a conflict`() throws {
        let network = Network(seed: 8)
        let alice = try network.addDevice("alice")
        let bob = try network.addDevice("bob")
        bob.clockSkew = -86400
        network.connect(bob, alice)
        network.run()
        for round in 0..<60 {
            let device = round % 2 == 0 ? alice : bob
            if round % 3 == 0 {
                try device.write("doc.tmp", "round \(round)")
                try device.rename("doc.tmp", "doc")
            } else {
                try device.write("doc", "round \(round)")
            }
            network.run(seconds: 1)
            #expect(try alice.text("doc") == "round \(round)")
            #expect(try bob.names() == ["doc"])
        }
        #expect(alice.volume.status().conflicts == 0)
    }

    @Test func `a stranger with another share's key learns nothing and is dropped`() throws {
        let network = Network(seed: 9)
        let other = Network(seed: 10)
        let alice = try network.addDevice("alice")
        let eve = try other.addDevice("eve")
        try alice.write("secret", "s")
        network.run(seconds: 1)
        let a = ConnectionID(rawValue: 100)
        let e = ConnectionID(rawValue: 101)
        alice.volume.connectionOpened(a, isInitiator: false, address: "eve", handshake: nil)
        eve.volume.connectionOpened(e, isInitiator: true, address: "alice", handshake: nil)
        var closed: [String] = []
        for _ in 0..<50 {
            var effects: [ShareEffect] = []
            _ = alice.volume.advance(into: &effects)
            for effect in effects {
                if case .send(_, let bytes) = effect {
                    eve.volume.connectionReceived(e, bytes.span)
                }
                if case .reject(_, let reason) = effect { closed.append(reason) }
            }
            effects = []
            _ = eve.volume.advance(into: &effects)
            for effect in effects {
                if case .send(_, let bytes) = effect {
                    alice.volume.connectionReceived(a, bytes.span)
                }
            }
        }
        #expect(closed == ["the peer does not hold this share's key"])
        #expect(eve.volume.status().files == 0)
        #expect(alice.volume.status().peers.isEmpty)
    }
    @Test func `a connection between node keys shows which devices are behind it`() throws {
        let network = Network(seed: 11)
        let alice = try network.addDevice("alice")
        let bob = try network.addDevice("bob")
        network.connect(alice, bob)
        network.run(seconds: 1)
        network.disconnectAll()
        // The second connection is one between node keys.
        network.connect(alice, bob)
        try bob.write("note", "through the DHT")
        network.run(seconds: 1)
        #expect(try alice.text("note") == "through the DHT")
        #expect(alice.volume.status().peers.map(\.key) == [bob.publicKey.hex])
        #expect(bob.volume.status().peers.map(\.key) == [alice.publicKey.hex])
    }
}
