import Base
import Chunks
import FileTree
import Testing

@testable import Share

/// Members that are revoked or retired: what of their logs counts.
@Suite struct EndingTests {
    private func network(seed: UInt64, _ names: [String] = ["alice", "bob", "carol"]) throws -> (
        Network, [Network.Device]
    ) {
        let network = Network(seed: seed)
        var devices: [Network.Device] = []
        for name in names {
            let device = try network.addDevice(name)
            if let first = devices.first { network.connect(device, first) }
            devices.append(device)
        }
        network.run()
        try devices[0].write("shared", "from alice\n")
        network.run()
        network.disconnectAll()
        return (network, devices)
    }

    private func connectAll(_ devices: [Network.Device], _ network: Network) {
        for (index, device) in devices.enumerated() {
            for other in devices[(index + 1)...] { network.connect(device, other) }
        }
    }

    private func expectOne(_ devices: [Network.Device], _ network: Network) throws {
        #expect(Set(devices.map { $0.volume.status().digest }).count == 1, "\(network.log)")
        let names = try devices[0].names()
        for device in devices {
            let status = device.volume.status()
            #expect(status.pending.blocks == 0, "\(device.name)")
            #expect(status.disagreeing.isEmpty, "\(device.name)")
            #expect(try device.names() == names)
            let report = try device.volume.check(scratch: MemoryShareStorage())
            #expect(report.problems.isEmpty, "\(device.name)")
        }
    }

    /// Row 32, with the blocks after the cut at one member before it hears of the revocation.
    @Test(arguments: [false, true])
    func `blocks after the cut do not count, whatever came first`(_ carolFirst: Bool) throws {
        let (network, devices) = try network(seed: 1)
        let (alice, bob, carol) = (devices[0], devices[1], devices[2])
        try bob.write("kept", "before the cut\n")
        network.connect(alice, bob)
        network.run()
        network.disconnectAll()
        #expect(try alice.volume.revoke("bob") == ["bob"])
        network.run()
        try bob.write("late", "after the cut\n")
        try bob.write("shared", "changed by bob\n")
        network.run()
        if carolFirst {
            network.connect(bob, carol)
            network.run()
            #expect(try carol.text("late") == "after the cut\n")
            // Carol builds on it: what she wrote stays where it can.
            try carol.write("carols", "her own\n")
            try carol.write("shared", "changed by bob, then by carol\n")
            network.run()
            network.disconnectAll()
        }
        network.connect(alice, carol)
        network.run(seconds: 60)
        network.connect(alice, bob)
        network.connect(bob, carol)
        network.run(seconds: 60)
        try expectOne([alice, carol], network)
        for device in [alice, carol] {
            #expect(try device.text("kept") == "before the cut\n")
            #expect(throws: VolumeError.notFound) { try device.text("late") }
        }
        if carolFirst {
            #expect(try alice.text("carols") == "her own\n")
            let shown = try alice.names().filter { $0.hasPrefix("shared") }
                .map { try alice.text($0) }
            #expect(shown.contains { $0?.contains("changed by bob, then by carol\n") == true })
            let member = carol.volume.status().members.first { $0.device == "bob" }
            #expect(member?.uncounted ?? 0 > 0)
        } else {
            #expect(try carol.text("shared") == "from alice\n")
        }
        // Bob is told, keeps everything and goes on.
        #expect(try bob.text("late") == "after the cut\n")
        let status = bob.volume.status()
        #expect(status.problems.contains { $0.contains("revoked") }, "\(status.problems)")
        #expect(status.members.first { $0.isOwn }?.state == "revoked")
        try bob.write("later still", "on bob's only\n")
        network.run()
        #expect(try bob.text("later still") == "on bob's only\n")
        #expect(try !alice.names().contains("later still"))
        for device in devices {
            network.disconnectAll()
            try network.restart(device)
        }
        connectAll(devices, network)
        network.run(seconds: 60)
        try expectOne([alice, carol], network)
        #expect(try bob.text("late") == "after the cut\n")
        for device in [alice, carol] {
            let digest = device.volume.status().digest
            try device.volume.rebuildView()
            #expect(device.volume.status().digest == digest)
        }
    }

    /// Row 33.
    @Test func `of two owners who revoke each other the one admitted earlier stays`() throws {
        let network = Network(seed: 2)
        let alice = try network.addDevice("alice")
        let link = try alice.volume.ownerLink(name: "test", addressHints: [])
        alice.volume.engine.withLock {
            try? $0.storage.setValue(link.inviteSeed.bytes, of: StoredValue.inviteSeed)
        }
        let bob = try network.addDevice("bob")
        let carol = try network.addDevice("carol")
        let devices = [alice, bob, carol]
        network.connect(bob, alice)
        network.connect(carol, alice)
        network.run(seconds: 60)
        network.disconnectAll()
        try bob.write("bobs", "before\n")
        _ = try bob.volume.revoke("alice")
        _ = try alice.volume.revoke("bob")
        try alice.write("alices", "hers\n")
        network.run()
        network.connect(bob, carol)
        network.run(seconds: 30)
        #expect(try carol.text("bobs") == "before\n")
        network.connect(alice, carol)
        network.run(seconds: 60)
        connectAll(devices, network)
        network.run(seconds: 60)
        try expectOne([alice, carol], network)
        #expect(try carol.text("alices") == "hers\n")
        #expect(try !carol.names().contains("bobs"))
        #expect(try bob.text("bobs") == "before\n")
        #expect(try bob.text("alices") == "hers\n")
        #expect(bob.volume.status().problems.contains { $0.contains("revoked") })
        #expect(alice.volume.status().problems.isEmpty)
    }

    private func uncounted(_ device: Network.Device, of name: String? = nil) throws
        -> UncountedView
    {
        try device.volume.uncounted(
            of: name, scratch: (MemoryShareStorage(), MemoryShareStorage()))
    }

    private func rows(_ view: UncountedView) -> [String] {
        view.items.map { item in
            let path = item.path.map { String(decoding: $0, as: UTF8.self) }
            return "\(item.isNew ? "new" : "changed") \(path.joined(separator: "/")) \(item.device)"
        }.sorted()
    }

    private func text(_ path: String, of view: UncountedView, on device: Network.Device) throws
        -> String?
    {
        let item = view.items.first { item in
            item.path.map { String(decoding: $0, as: UTF8.self) }.joined(separator: "/") == path
        }
        guard let item, let content = try view.tree?.openContent(of: item.attributes.node).content
        else { return nil }
        let reader = ContentReader(content, storage: device.chunks)
        var bytes = [UInt8](repeating: 0, count: Int(content.size))
        let outcome = try bytes.withUnsafeMutableBytes { try reader.read(at: 0, into: $0) }
        return outcome == .bytes(bytes.count) ? String(decoding: bytes, as: UTF8.self) : nil
    }

    /// Row 32, the rest of it.
    @Test func `what does not count can be had where it is, by whoever has it`() throws {
        let (network, devices) = try network(seed: 3)
        let (alice, bob, carol) = (devices[0], devices[1], devices[2])
        for device in devices { #expect(try uncounted(device).logs.isEmpty) }
        try bob.write("kept", "before the cut\n")
        network.connect(alice, bob)
        network.connect(alice, carol)
        network.run()
        network.disconnectAll()
        _ = try alice.volume.revoke("bob")
        network.run()
        let large = String(repeating: "0123456789abcdef", count: 4000)
        try bob.mkdir("late")
        try bob.mkdir("late/empty")
        try bob.write("late/large", large)
        try bob.write("late/small", "after the cut\n")
        try bob.write("kept", "before the cut\nand after\n")
        try bob.write("gone", "removed again\n")
        try bob.unlink("gone")
        network.connect(bob, carol)
        network.run(seconds: 60)
        try carol.write("late/carols", "built on it\n")
        network.run()
        network.disconnectAll()
        // Nobody but alice knows: all of it counts.
        #expect(try uncounted(carol).items.isEmpty)
        network.connect(alice, carol)
        network.run(seconds: 60)
        network.connect(alice, bob)
        network.run(seconds: 60)
        try expectOne([alice, carol], network)
        let late = [
            "changed kept bob", "new late bob", "new late/carols carol", "new late/empty bob",
            "new late/large bob", "new late/small bob",
        ]
        #expect(try alice.names() == ["kept", "shared"])
        #expect(try rows(uncounted(alice)).isEmpty)
        for day in 0..<3 {
            let view = try uncounted(carol)
            #expect(rows(view) == late, "day \(day)")
            #expect(view.logs.map(\.device) == ["bob"] && view.unreadBlocks == 0)
            #expect(try text("late/large", of: view, on: carol) == large)
            #expect(try text("late/small", of: view, on: carol) == "after the cut\n")
            #expect(try text("late/carols", of: view, on: carol) == "built on it\n")
            #expect(try text("kept", of: view, on: carol) == "before the cut\nand after\n")
            #expect(try rows(uncounted(carol, of: "bob")) == late)
            #expect(throws: MemberError.unknown("alice")) { try uncounted(carol, of: "alice") }
            // As every day at the next mount.
            network.disconnectAll()
            if day == 1 { try carol.volume.rebuildView() }
            try network.restart(carol)
            _ = try carol.volume.collectChunks()
        }
        let own = late.filter { !$0.contains("carols") }
        let view = try uncounted(bob)
        #expect(rows(view).filter { !$0.contains("carols") } == own)
        #expect(try text("late/large", of: view, on: bob) == large)
        // Later than retention keeps old versions their bytes go.
        network.run(seconds: 400 * 86_400)
        _ = try carol.volume.collectChunks()
        let old = try uncounted(carol)
        #expect(rows(old) == late)
        #expect(try text("late/large", of: old, on: carol) == nil)
        #expect(try text("late/small", of: old, on: carol) == "after the cut\n")
        _ = try bob.volume.collectChunks()
        #expect(try text("late/large", of: uncounted(bob), on: bob) == large)
    }

    @Test func `who was let in by a revoked member has all of its own uncounted`() throws {
        let (network, devices) = try network(seed: 4)
        let (alice, bob) = (devices[0], devices[1])
        let dave = try network.addDevice("dave")
        _ = try alice.volume.revoke("bob")
        network.run()
        network.connect(dave, bob)
        network.run(seconds: 60)
        try dave.write("daves", "in vain\n")
        network.run()
        network.disconnectAll()
        network.connect(alice, dave)
        network.run(seconds: 60)
        #expect(try !alice.names().contains("daves"))
        let view = try uncounted(dave)
        #expect(
            rows(view).contains("new daves dave"), "\(rows(view)) \(dave.volume.status().problems)")
        #expect(try text("daves", of: view, on: dave) == "in vain\n")
    }

    @Test(arguments: [false, true])
    func `what is being written to a file that goes is saved as a new one`(_ isRestarted: Bool)
        throws
    {
        let (network, devices) = try network(seed: 5)
        let (alice, bob, carol) = (devices[0], devices[1], devices[2])
        _ = try alice.volume.revoke("bob")
        network.run()
        try bob.mkdir("late")
        try bob.write("late/his", "bob's\n")
        try bob.write("shared", "bob's\n")
        network.connect(bob, carol)
        network.run(seconds: 60)
        try carol.write("late/hers", "first\n")
        network.run()
        network.disconnectAll()
        func save(_ path: String) throws -> Save {
            let node = try carol.directory(path)
            let opened = try carol.volume.openContent(of: node)
            return Save(
                node: node, parents: opened.versions, content: .inline(Array("saved\n".utf8)),
                modified: carol.wallTime(), settlesStaging: true)
        }
        func stage(_ save: Save) throws {
            try carol.volume.recordStaged(
                StagedFile(
                    node: save.node, parents: save.parents, base: .empty, size: 6,
                    modified: save.modified, dirty: [0..<6], file: save.node.rawValue,
                    isSynced: true, synced: nil, journal: 0))
        }
        var saves = try ["late/his", "late/hers", "shared"].map(save)
        for save in saves { try stage(save) }
        network.connect(alice, carol)
        network.run(seconds: 60)
        #expect(try carol.names() == ["hers", "his", "shared"])
        if isRestarted {
            network.disconnectAll()
            try network.restart(carol)
            network.connect(alice, carol)
            let staged = try carol.volume.stagedFiles()
            saves = saves.map { save in
                var save = save
                let record = staged.first { $0.file == save.node.rawValue }
                #expect(record != nil)
                save.node = record?.node ?? save.node
                save.parents = record?.parents ?? save.parents
                return save
            }
        } else {
            // The next record of a file that is still open.
            try stage(saves[1])
        }
        for save in saves { _ = try carol.volume.publish(save) }
        #expect(try carol.volume.stagedFiles().isEmpty)
        network.run(seconds: 60)
        try expectOne([alice, carol], network)
        for name in ["his", "hers"] { #expect(try alice.text(name) == "saved\n") }
        // Its version stands for itself: the one that it was written over does not count.
        #expect(try alice.text("shared") == "from alice\nsaved\n")
        #expect(carol.volume.status().problems.isEmpty)
    }

    @Test func `what was not yet staged of a file that goes is saved as well`() throws {
        let (network, devices) = try network(seed: 6)
        let (alice, bob, carol) = (devices[0], devices[1], devices[2])
        _ = try alice.volume.revoke("bob")
        network.run()
        try bob.write("his", "bob's\n")
        network.connect(bob, carol)
        network.run(seconds: 60)
        network.disconnectAll()
        let node = try carol.directory("his")
        let opened = try carol.volume.openContent(of: node)
        network.connect(alice, carol)
        network.run(seconds: 60)
        #expect(try carol.names() == ["shared"])
        try carol.write("his", "another\n")
        var save = Save(
            node: node, parents: opened.versions, content: .inline(Array("saved\n".utf8)),
            modified: carol.wallTime(), settlesStaging: true)
        let published = try carol.volume.publish(save)
        (save.node, save.parents) = (published.node, [published.version])
        save.content = .inline(Array("saved again\n".utf8))
        _ = try carol.volume.publish(save)
        network.run(seconds: 60)
        try expectOne([alice, carol], network)
        #expect(try alice.names() == ["his", "his (recovered)", "shared"])
        #expect(try alice.text("his (recovered)") == "saved again\n")
    }

    @Test func `who would go on from a log that has ended is refused and told`() throws {
        let (network, devices) = try network(seed: 7)
        defer { withExtendedLifetime(network) {} }
        let (alice, bob) = (devices[0], devices[1])
        _ = try alice.volume.revoke("bob")
        let request = try bob.volume.engine.withLock { engine in
            try engine.beginSuccessor()
            engine.chances.isIntroduced = true
            return try #require(engine.successionRequest)
        }
        let former = request.succession.predecessor
        let (refusal, told) = try alice.volume.engine.withLock { engine in
            (try engine.admit(request), engine.ending(of: former))
        }
        #expect(refusal == "the device has been revoked and is no member any more")
        #expect(told == .ended(log: former, .revoked))
        bob.volume.engine.withLock { $0.noteToldEnd(.revoked, of: former, by: "alice") }
        let problem = try #require(bob.volume.status().problems.first)
        #expect(problem.hasPrefix("alice says that this device has been revoked"))
        #expect(problem.contains("holdfast join --anew"))
    }
}
