import Base
import Chunks
import FileTree
import Hypercore
import Testing

@testable import Share

/// A device goes back to a state older than what the others begin from: what is missing is in no log any more.
@Suite struct OldBackupTests {
    private func trio(seed: UInt64) throws -> (Network, [Network.Device]) {
        print("seed \(seed)")
        let (network, devices) = try Network.forgetfulTrio(seed: seed)
        try devices[0].mkdir("d")
        try devices[0].mkdir("doomed")
        try devices[0].mkdir("moved")
        network.run()
        for name in [
            "kept", "edited", "deleted", "d/deep", "doomed/deep", "moved/file", "both", "theirs",
        ] {
            try devices[1].write(name, "first of \(name)")
        }
        network.run(seconds: 60)
        return (network, devices)
    }

    /// Everybody lives on until what came before is given back.
    private func liveOn(_ network: Network, _ devices: [Network.Device], from first: Int = 0) throws
    {
        for round in first..<first + 12 {
            for device in devices {
                for index in 0..<12 {
                    let text = "\(device.name) \(round) " + String(repeating: "x", count: 300)
                    try device.write("f\(index)", text)
                    try device.write("gone \(device.name)\(index)", "soon removed")
                    try device.unlink("gone \(device.name)\(index)")
                }
                network.run(seconds: 40)
            }
            network.run(seconds: 900)
        }
    }

    private func expectOne(_ devices: [Network.Device], _ network: Network) throws {
        #expect(Set(devices.map { $0.volume.status().digest }).count == 1, "\(network.log)")
        for device in devices {
            let status = device.volume.status()
            #expect(status.pending.blocks == 0, "\(device.name) \(network.log)")
            #expect(status.disagreeing.isEmpty && status.refused == 0, "\(device.name)")
            #expect(status.problems.isEmpty, "\(device.name): \(status.problems)")
            let report = try device.volume.check(scratch: MemoryShareStorage())
            #expect(report.problems.isEmpty, "\(device.name): \(report.problems)")
            #expect(try device.names() == devices[0].names())
        }
    }

    private func hasGivenBack(_ device: Network.Device, since blocks: UInt64, of log: Bytes32)
        -> Bool
    {
        device.volume.engine.withLock { engine in
            guard let slot = engine.writers.slot(of: log), let start = engine.starts[slot] else {
                return false
            }
            return start.number > blocks && engine.compaction == nil
        }
    }

    @Test func `with nothing written since, it shows what everybody does and goes on`() throws {
        let (network, devices) = try trio(seed: 1)
        let bob = devices[1]
        let backup = bob.backup()
        let log = try #require(bob.volume.engine.withLock { $0.ownLog })
        let blocks = log.length
        try liveOn(network, devices)
        for device in [devices[0], devices[2]] {
            try #require(hasGivenBack(device, since: blocks, of: log.key), "\(network.log)")
        }
        let names = try devices[0].names()
        network.disconnectAll()
        try network.restore(bob, backup)
        network.connect(bob, devices[0])
        network.connect(devices[2], devices[0])
        network.run(seconds: 300)
        try expectOne(devices, network)
        #expect(try devices[0].names() == names)
        try bob.write("after", "bob goes on")
        network.run()
        #expect(try devices[2].text("after") == "bob goes on")
        try expectOne(devices, network)
    }

    /// A backup of bob's, a long history with him, and his device as it was.
    private func restored(_ network: Network, _ devices: [Network.Device]) throws {
        let (alice, bob) = (devices[0], devices[1])
        let backup = bob.backup()
        let log = try #require(bob.volume.engine.withLock { $0.ownLog })
        let blocks = log.length
        try alice.write("both", "alice's of both")
        try alice.write("theirs", "alice's of theirs")
        try alice.unlink("deleted")
        try alice.unlink("doomed/deep")
        try alice.rmdir("doomed")
        try alice.rename("moved", "moved on")
        try bob.write("lost", "bob's, after the backup")
        try liveOn(network, devices)
        for device in [alice, devices[2]] {
            try #require(hasGivenBack(device, since: blocks, of: log.key), "\(network.log)")
        }
        network.disconnectAll()
        try network.restore(bob, backup)
    }

    @Test func `what was written since is written again, and nothing else changes`() throws {
        let (network, devices) = try trio(seed: 2)
        try restored(network, devices)
        let (alice, bob) = (devices[0], devices[1])
        let before = try alice.names()
        try bob.write("new", "bob's new one")
        try bob.write("edited", "bob's of edited")
        try bob.write("both", "bob's of both")
        try bob.write("deleted", "bob's of deleted")
        network.run(seconds: 10)
        try bob.write("doomed/new", "bob's in doomed")
        try bob.write("doomed/deep", "bob's of deep")
        try bob.write("moved/new", "bob's in moved")
        try bob.mkdir("fresh")
        try bob.write("fresh/file", "bob's fresh one")
        try bob.unlink("kept")
        try bob.unlink("theirs")
        try bob.rename("d/deep", "risen")
        network.run(seconds: 10)
        network.connect(bob, alice)
        network.connect(devices[2], alice)
        network.run(seconds: 400)
        try expectOne(devices, network)
        for device in devices {
            #expect(try device.text("new") == "bob's new one")
            #expect(try device.text("edited") == "bob's of edited")
            #expect(try device.text("deleted") == "bob's of deleted")
            #expect(try device.text("doomed/new") == "bob's in doomed")
            #expect(try device.text("doomed/deep") == "bob's of deep")
            #expect(try device.names("doomed") == ["deep", "new"])
            #expect(try device.text("moved on/new") == "bob's in moved")
            #expect(try device.text("fresh/file") == "bob's fresh one")
            #expect(try device.text("theirs") == "alice's of theirs")
            #expect(try device.text("lost") == "bob's, after the backup")
            #expect(try device.text("risen") == "first of d/deep")
            #expect(try device.names("d") == [])
            let copies = try device.names().filter { $0.contains("(conflict") }
            #expect(copies.count == 1 && copies[0].hasPrefix("both"), "\(copies)")
            let both = try [device.text("both"), copies.first.flatMap { try device.text($0) }]
            #expect(Set(both) == ["alice's of both", "bob's of both"])
            let new = Set(try device.names()).subtracting(before).subtracting(copies)
            #expect(new == ["deleted", "doomed", "fresh", "new", "risen"])
            #expect(Set(before).subtracting(try device.names()) == ["kept"])
        }
        #expect(bob.volume.status().device == "bob 2")
        #expect(bob.volume.status().forks.map(\.isSettled) == [true])

        // Life goes on, also after a restart, and history is given back again.
        network.disconnectAll()
        try network.restart(bob)
        try bob.write("new", "newer")
        try bob.write("lost", "found")
        network.connect(bob, alice)
        network.connect(devices[2], alice)
        network.run(seconds: 60)
        #expect(try devices[2].text("new") == "newer")
        #expect(try devices[2].text("lost") == "found")
        #expect(try bob.names().filter { $0.contains("(conflict") }.count == 1)
        try expectOne(devices, network)
    }

    @Test func `what is written while the rest of the own log is known and cannot be had is kept`()
        throws
    {
        let (network, devices) = try trio(seed: 3)
        try restored(network, devices)
        let (alice, bob) = (devices[0], devices[1])
        network.connect(bob, alice)
        network.run(seconds: 3)
        #expect(bob.volume.status().forks.isEmpty)
        try bob.write("new", "bob's new one")
        try bob.write("edited", "bob's of edited")
        try bob.write("deleted", "bob's of deleted")
        network.run(seconds: 3)
        // Nobody has heard of the log that this is in.
        #expect(alice.volume.status().members.count == 3)
        let new = try bob.directory("new")
        let edited = try bob.directory("edited")
        let deleted = try bob.directory("deleted")
        var problems: [String] = []
        for _ in 0..<20 where problems.isEmpty {
            network.run(seconds: 1)
            problems = bob.volume.status().problems
        }
        #expect(problems.count == 1, "\(problems)")
        network.connect(devices[2], alice)
        network.run(seconds: 300)
        try expectOne(devices, network)
        for device in devices {
            #expect(try device.text("new") == "bob's new one")
            #expect(try device.text("edited") == "bob's of edited")
            #expect(try device.text("deleted") == "bob's of deleted")
            #expect(try device.names().filter { $0.contains("(conflict") } == [])
        }
        #expect(bob.volume.status().device == "bob 2")
        // What was open is the same file.
        try bob.save(new, Array("through the old handle".utf8))
        try bob.save(edited, Array("edited through its old handle".utf8))
        try bob.save(deleted, Array("deleted, and made again".utf8))
        network.run()
        #expect(try alice.text("new") == "through the old handle")
        #expect(try alice.text("edited") == "edited through its old handle")
        #expect(try alice.text("deleted") == "deleted, and made again")
        try expectOne(devices, network)
    }

    @Test func `a log that is held back is not let in by the device's old invite`() throws {
        let (network, devices) = try trio(seed: 9)
        try restored(network, devices)
        let (alice, bob) = (devices[0], devices[1])
        network.connect(alice, bob)
        network.run(seconds: 3)
        try bob.write("new", "bob's new one")
        for _ in 0..<3 {
            network.disconnectAll()
            network.connect(bob, alice)
            network.run(seconds: 3)
            #expect(alice.volume.status().members.count == 3)
        }
        network.connect(devices[2], alice)
        network.run(seconds: 300)
        try expectOne(devices, network)
        #expect(try alice.text("new") == "bob's new one")
        let (log, before) = bob.volume.engine.withLock { engine in
            (engine.ownLog?.key, engine.succession?.succession.predecessor)
        }
        let (own, former) = (try #require(log), try #require(before))
        let predecessors = alice.volume.engine.withLock { $0.membership.predecessors(of: own) }
        #expect(predecessors == [former])
    }

    @Test func `a peer that answers slowly is not asked again in every turn`() throws {
        let (network, devices) = try trio(seed: 10)
        try restored(network, devices)
        let bob = devices[1]
        try bob.write("new", "bob's new one")
        network.run(seconds: 5)
        network.connect(bob, devices[0])
        var isAsking = false
        for _ in 0..<100_000 where !isAsking {
            network.step()
            isAsking = bob.volume.engine.withLock { $0.resumption?.askedLook != nil }
        }
        #expect(isAsking)
        let (now, limit) = (network.time, Resumption.Limits.answerPatience)
        for (time, isDue) in [(now, false), (now + limit, true), (now + limit, false)] {
            let asked = bob.volume.engine.withLock { engine in
                var effects: [LogReplication.Effect] = []
                return engine.askForLook(now: time, into: &effects) != nil
            }
            #expect(asked == isDue)
        }
    }

    @Test func `what was saved here and removed elsewhere lately is there again`() throws {
        let (network, devices) = try trio(seed: 11)
        try restored(network, devices)
        let (alice, bob) = (devices[0], devices[1])
        network.connect(devices[2], alice)
        try alice.unlink("edited")
        try alice.unlink("kept")
        try alice.write("edited", "another one")
        try alice.unlink("d/deep")
        try alice.rmdir("d")
        network.run(seconds: 10)
        try bob.write("edited", "bob's of edited")
        try bob.write("d/deep", "bob's of deep")
        try bob.write("kept", "bob's of kept")
        try bob.unlink("kept")
        network.run(seconds: 5)
        network.connect(bob, alice)
        network.run(seconds: 300)
        try expectOne(devices, network)
        for device in devices {
            let copies = try device.names().filter { $0.hasPrefix("edited (conflict") }
            try #require(copies.count == 1)
            #expect(
                try Set([device.text("edited"), device.text(copies[0])])
                    == ["another one", "bob's of edited"])
            #expect(try device.text("d/deep") == "bob's of deep")
            #expect(try !device.names().contains("kept"))
        }
    }

    /// Ends as `status` says it must where no checkpoint can be had.
    @Test(arguments: [false, true])
    func `what no checkpoint can be had for is exported, and goes on in a new device`(
        whileConnected: Bool
    ) throws {
        let (network, devices) = try trio(seed: whileConnected ? 8 : 7)
        try restored(network, devices)
        let (alice, bob, carol) = (devices[0], devices[1], devices[2])
        // Nobody who is there can give the bytes of a checkpoint.
        let pieces = Set(
            alice.volume.engine.withLock { $0.checkpoints }
                .flatMap { $0.content.pieces.compactMap(\.reference?.address) })
        _ = bob.chunks.collect { !pieces.contains($0) }
        func writeSome() throws {
            try bob.write("new", "bob's new one")
            try bob.write("edited", "bob's of edited")
            try bob.mkdir("fresh")
            try bob.write("fresh/file", "bob's fresh one")
            try bob.unlink("kept")
        }
        if !whileConnected {
            try writeSome()
            network.run(seconds: 5)
        }
        network.connect(bob, alice)
        network.run(seconds: 3)
        alice.chunks.hide { pieces.contains($0) }
        // The rest of the own log is known, and not here: it is a new log that this is in.
        if whileConnected { try writeSome() }
        var problems: [String] = []
        for _ in 0..<200 where !problems.contains(where: { $0.contains("--anew") }) {
            network.run(seconds: 1)
            problems = bob.volume.status().problems
        }
        #expect(problems.contains { $0.contains("export") && $0.contains("--anew") }, "\(problems)")
        #expect(try bob.text("new") == "bob's new one")

        // All of it, also after a restart.
        network.disconnectAll()
        for isRestarted in [false, true] {
            if isRestarted { try network.restart(bob) }
            let view = try bob.volume.uncounted(
                of: nil, scratch: (MemoryShareStorage(), MemoryShareStorage()))
            #expect(view.unreadBlocks == 0)
            let blocks = view.logs.reduce(0) { $0 + $1.blocks }
            #expect(blocks > 0, "\(view.logs)")
            let paths = view.items.map { item in
                item.path.map { String(decoding: $0, as: UTF8.self) }.joined(separator: "/")
            }
            #expect(Set(paths).isSuperset(of: ["new", "edited", "fresh", "fresh/file"]))
        }
        let view = try bob.volume.uncounted(
            of: nil, scratch: (MemoryShareStorage(), MemoryShareStorage()))
        let tree = try #require(view.tree)

        // Another device with its bytes, which starts from what the others have.
        alice.chunks.hide { _ in false }
        let anew = try network.addDevice("bob anew")
        network.connect(carol, alice)
        network.connect(anew, carol)
        network.run(seconds: 300)
        let wanted = ["new", "edited", "fresh", "fresh/file"]
        for item in view.items {
            let path = item.path.map { String(decoding: $0, as: UTF8.self) }.joined(separator: "/")
            guard wanted.contains(path) else { continue }
            guard item.attributes.kind == .file else {
                try anew.mkdir(path)
                continue
            }
            guard case .inline(let bytes) = try tree.openContent(of: item.attributes.node).content
            else {
                Issue.record("\(path) is in chunks")
                continue
            }
            try anew.write(path, bytes)
        }
        network.run(seconds: 60)
        let others = [alice, carol, anew]
        #expect(Set(others.map { $0.volume.status().digest }).count == 1, "\(network.log)")
        for device in others {
            let status = device.volume.status()
            #expect(status.pending.blocks == 0 && status.refused == 0, "\(device.name)")
            #expect(try device.names() == alice.names())
            #expect(try device.names().filter { $0.contains("(conflict") } == [])
            #expect(try device.text("new") == "bob's new one")
            #expect(try device.text("edited") == "bob's of edited")
            #expect(try device.text("fresh/file") == "bob's fresh one")
        }
    }

    @Test func `where nobody offers a checkpoint none is promised, and a way on is named`() throws {
        let (network, devices) = try trio(seed: 12)
        try restored(network, devices)
        let (alice, bob, carol) = (devices[0], devices[1], devices[2])
        let pieces = Set(
            alice.volume.engine.withLock { $0.checkpoints }
                .flatMap { $0.content.pieces.compactMap(\.reference?.address) })
        alice.chunks.hide { pieces.contains($0) }
        try network.restart(alice)
        try bob.write("new", "bob's new one")
        network.run(seconds: 1)
        network.connect(bob, alice)
        for _ in 0..<40 {
            network.run(seconds: 1)
            #expect(!bob.volume.status().problems.contains { $0.contains("goes over") })
        }
        let problems = bob.volume.status().problems
        #expect(problems.contains { $0.contains("nobody") && $0.contains("holdfast export") })
        // Somebody does.
        network.connect(bob, carol)
        network.run(seconds: 200)
        #expect(bob.volume.status().problems.isEmpty)
        #expect(try carol.text("new") == "bob's new one")
    }

    @Test(arguments: [1, 5, 22])
    func `what both histories have is not written twice`(count: Int) throws {
        let (network, devices) = try trio(seed: 60 + UInt64(count))
        let bob = devices[1]
        for index in 0..<count {
            try bob.write("in both \(index)", "\(index)")
            network.run(seconds: 1)
        }
        try restored(network, devices)
        let blocks = try #require(bob.volume.engine.withLock { $0.ownLog?.length })
        #expect(blocks > count)
        try bob.write("new", "bob's new one")
        network.run(seconds: 5)
        for device in [devices[0], devices[2]] { network.connect(bob, device) }
        network.run(seconds: 300)
        try expectOne(devices, network)
        #expect(bob.volume.status().forks.map(\.common) == [blocks])
        #expect(try devices[0].text("new") == "bob's new one")
        #expect(try devices[0].names().filter { $0.hasPrefix("in both") }.count == count)
    }

    @Test func `a founder's device comes back as any other`() throws {
        let (network, devices) = try trio(seed: 4)
        let (alice, bob) = (devices[0], devices[1])
        let backup = alice.backup()
        let log = try #require(alice.volume.engine.withLock { $0.ownLog })
        let blocks = log.length
        try liveOn(network, devices)
        try #require(hasGivenBack(bob, since: blocks, of: log.key))
        network.disconnectAll()
        try network.restore(alice, backup)
        try alice.write("new", "alice's new one")
        network.run(seconds: 5)
        network.connect(alice, bob)
        network.connect(alice, devices[2])
        network.run(seconds: 300)
        try expectOne(devices, network)
        #expect(try bob.text("new") == "alice's new one")
        let now = try #require(alice.volume.engine.withLock { $0.ownLog?.key })
        #expect(bob.volume.engine.withLock { $0.membership.member(log: now)?.role } == .owner)
        // Whoever joins now finds a start.
        let dave = try network.addDevice("dave")
        network.connect(dave, alice)
        network.run(seconds: 200)
        try expectOne(devices + [dave], network)
        #expect(try dave.text("new") == "alice's new one")
    }

    /// A founder alone, a backup of its state, more of its work, and then another member who begins from a
    /// checkpoint: nobody has the blocks before that, nor all tree nodes over them.
    ///
    /// - Parameter hasWitness: whether one more member was there from the first block on.
    private func founderAndNewcomer(
        seed: UInt64, before: Int, between: Int, hasWitness: Bool = false
    ) throws -> (Network, Network.Device, Network.Device, MemoryShareStorage) {
        print("seed \(seed)")
        let network = Network(seed: seed)
        network.checkpointPolicy = CheckpointPolicy(
            growthMin: 1 << 10, quiet: .seconds(10), turns: .seconds(20), grace: .seconds(60),
            objectsPerTurn: 100, history: .seconds(600))
        let alice = try network.addDevice("alice")
        if hasWitness { network.connect(try network.addDevice("carol"), alice) }
        network.run()
        for index in 0..<before {
            try alice.write("before \(index)", "\(index)")
            try alice.write("often", "\(index) of \(before)")
            network.run(seconds: 1)
        }
        let backup = alice.backup()
        for index in 0..<between {
            try alice.write("between \(index)", "\(index)")
            try alice.write("often", "\(index) of \(between), later")
            network.run(seconds: 1)
        }
        try alice.write("large", String(repeating: "x", count: 2000))
        network.run(seconds: 100)
        try #require(!alice.volume.engine.withLock { $0.checkpoints }.isEmpty)
        let bob = try network.addDevice("bob")
        network.connect(bob, alice)
        network.run(seconds: 60)
        try #require(bob.volume.status().start != nil, "\(network.log)")
        try bob.write("bob's", "bob's")
        network.run(seconds: 60)
        network.disconnectAll()
        return (network, alice, bob, backup)
    }

    /// Who is there first cannot show how the log goes on, wherever the tree nodes that it has are no end of a log of
    /// that length; then one comes who can.
    @Test(arguments: [0, 3])
    func `a restored founder's log goes on if somebody has all of it`(after: Int) throws {
        var count = 0
        for before in 4..<9 {
            let (network, alice, bob, backup) = try founderAndNewcomer(
                seed: UInt64(30_000 + before), before: before, between: 4, hasWitness: true)
            let carol = network.devices[1]
            try network.restore(alice, backup)
            network.run(seconds: 1)
            network.connect(alice, bob)
            for _ in 0..<60 where alice.volume.status().forks.isEmpty { network.run(seconds: 0.4) }
            guard !alice.volume.status().forks.isEmpty else { continue }
            count += 1
            for index in 0..<after { try alice.write("after \(index)", "\(index)") }
            network.connect(alice, carol)
            network.connect(bob, carol)
            network.run(seconds: 60)
            try expectOne([alice, bob, carol], network)
            // What was not written to had one history all the time.
            #expect(alice.volume.status().forks.map(\.isSettled) == (after == 0 ? [] : [true]))
            #expect(alice.volume.status().device == (after == 0 ? "alice" : "alice 2"))
            #expect(alice.volume.status().start == nil)
            #expect(try alice.text("between 3") == "3")
            for index in 0..<after { #expect(try bob.text("after \(index)") == "\(index)") }
            try alice.write("goes on", "alice")
            network.run(seconds: 20)
            #expect(try bob.text("goes on") == "alice")
            try expectOne([alice, bob, carol], network)
        }
        #expect(count > 0)
    }

    @Test(
        arguments: [0, 1, 2, 3, 5, 7, 12, 21],
        [(0, 0), (0, 1), (1, 0), (1, 1), (2, 6), (9, 2), (5, 17), (20, 40)])
    func `a founder goes back behind what the only other member began from`(
        before: Int, others: (between: Int, after: Int)
    ) throws {
        let (between, after) = others
        let (network, alice, bob, backup) = try founderAndNewcomer(
            seed: UInt64(10_000 + before * 100 + between), before: before, between: between)
        let names = try bob.names()
        try network.restore(alice, backup)
        for index in 0..<after {
            try alice.write("after \(index)", "\(index)")
            network.run(seconds: 1)
        }
        network.run(seconds: 5)
        network.connect(alice, bob)
        network.run(seconds: 200)
        try expectOne([alice, bob], network)
        let afters = (0..<after).map { "after \($0)" }
        #expect(try Set(bob.names()) == Set(names + afters))
        for name in afters { #expect(try bob.text(name) != nil) }
        #expect(try alice.text("bob's") == "bob's")
        try alice.write("goes on", "alice")
        try bob.write("goes on too", "bob")
        network.run(seconds: 30)
        try expectOne([alice, bob], network)
        #expect(try bob.text("goes on") == "alice")
        // Whoever joins now finds a start.
        let dave = try network.addDevice("dave")
        network.connect(dave, bob)
        network.run(seconds: 200)
        try expectOne([alice, bob, dave], network)
    }

    @Test(arguments: [0, 2, 10, 40])
    func `a stop on the way is gone on from`(steps: Int) throws {
        let (network, devices) = try trio(seed: 50 + UInt64(steps))
        try restored(network, devices)
        let bob = devices[1]
        try bob.write("new", "bob's new one")
        try bob.write("both", "bob's of both")
        network.run(seconds: 5)
        network.connect(bob, devices[0])
        var stops = 0
        for _ in 0..<100_000 where stops < 3 {
            network.step()
            guard bob.volume.engine.withLock({ $0.resumption != nil }) else { continue }
            for _ in 0..<steps { network.step() }
            network.disconnectAll()
            try network.restart(bob)
            network.connect(bob, devices[0])
            stops += 1
        }
        #expect(stops > 0)
        network.connect(devices[2], devices[0])
        network.run(seconds: 400)
        try expectOne(devices, network)
        #expect(try devices[2].text("new") == "bob's new one")
        #expect(try devices[2].names().filter { $0.contains("(conflict") }.count == 1)
    }

    @Test(arguments: 100..<108)
    func `whatever was written since, nothing is lost and all see one tree`(seed: UInt64) throws {
        let (network, devices) = try trio(seed: seed)
        try restored(network, devices)
        let bob = devices[1]
        var random = SeededRandom(seed: seed)
        var last: [NodeID: String] = [:]
        var touched: Set<String> = []
        for step in 0..<Int.random(in: 1...60, using: &random) {
            let inside = (try? bob.names("d"))?.map { "d/\($0)" } ?? []
            let paths = try bob.names() + inside + ["new\(step)"]
            let path = paths[Int.random(in: 0..<paths.count, using: &random)]
            touched.formUnion([path, "renamed\(step)"])
            switch Int.random(in: 0..<8, using: &random) {
            case 0: try? bob.mkdir("made\(step)")
            case 1:
                guard let node = try? bob.directory(path), last[node] == nil else { continue }
                try? bob.unlink(path)
            case 2: try? bob.rename(path, "renamed\(step)")
            case 3: try? bob.rename(path, "d/renamed\(step)")
            default:
                let text = "bob \(step) of \(seed)"
                guard (try? bob.write(path, text)) != nil else { continue }
                last[try bob.directory(path)] = text
            }
            if Int.random(in: 0..<3, using: &random) == 0 { network.run(seconds: 1) }
        }
        network.run(seconds: 5)
        let before = try devices[0].names()
        network.connect(bob, devices[Int.random(in: 0...1, using: &random) * 2])
        network.connect(devices[2], devices[0])
        network.run(seconds: 400)
        try expectOne(devices, network)
        var texts: Set<String> = []
        func gather(_ directory: String) throws {
            for name in try devices[0].names(directory) {
                let path = directory.isEmpty ? name : "\(directory)/\(name)"
                if let text = try? devices[0].text(path) {
                    texts.insert(text)
                } else {
                    try gather(path)
                }
            }
        }
        try gather("")
        for text in last.values { #expect(texts.contains(text), "\(text)") }
        // What the others removed and bob did not touch stays away.
        let names = try devices[0].names()
        for name in ["deleted", "doomed", "moved"] where !touched.contains(name) {
            #expect(!names.contains(name))
        }
        if touched.contains("moved") { touched.insert("moved on") }
        for name in before where !touched.contains(name) { #expect(names.contains(name)) }
        // And no file has a copy that bob did not touch.
        for name in names where name.contains(" (conflict") {
            let stem = String(name.prefix { $0 != " " })
            #expect(touched.contains { $0 == stem }, "\(name)")
        }
    }
}
