import Base
import Chunks
import FileTree
import Hypercore
import Testing
import Wire

@testable import Share

/// A device's state that is older than what peers have of it, or that two devices go on with.
@Suite struct LogForkTests {
    private func trio(seed: UInt64) throws -> (
        Network, Network.Device, Network.Device, Network.Device
    ) {
        let network = Network(seed: seed)
        let alice = try network.addDevice("alice")
        let bob = try network.addDevice("bob")
        let carol = try network.addDevice("carol")
        network.connect(bob, alice)
        network.connect(carol, alice)
        network.run()
        try alice.mkdir("d")
        network.run()
        try bob.write("d/base", "base")
        try bob.write("both", "base")
        network.run()
        network.disconnectAll()
        return (network, alice, bob, carol)
    }

    private func expectOneTree(_ devices: [Network.Device], _ network: Network) throws {
        let digests = devices.map { $0.volume.status().digest }
        #expect(Set(digests).count == 1, "\(network.log)")
        for device in devices {
            #expect(device.volume.status().pending.blocks == 0, "\(device.name)")
            #expect(device.volume.status().refused == 0, "\(device.name)")
            let report = try device.volume.check(scratch: MemoryShareStorage())
            #expect(report.problems.isEmpty)
        }
    }

    @Test func `a backup restored takes its tail back and does not fork`() throws {
        let (network, alice, bob, carol) = try trio(seed: 1)
        let backup = bob.backup()
        for index in 0..<20 { try bob.write("d/f\(index)", "\(index)") }
        network.connect(bob, alice)
        network.run()
        network.disconnectAll()
        try network.restore(bob, backup)
        #expect(try !bob.names("d").contains("f3"))
        network.connect(bob, alice)
        network.connect(carol, alice)
        network.run()
        #expect(try bob.text("d/f3") == "3")
        try bob.write("d/later", "later")
        network.run()
        #expect(try carol.text("d/later") == "later")
        #expect(bob.volume.status().forks.isEmpty)
        #expect(bob.volume.status().clock.count == 3)
        try expectOneTree([alice, bob, carol], network)
    }

    @Test func `a backup restored and written to keeps both histories`() throws {
        let (network, alice, bob, carol) = try trio(seed: 2)
        let backup = bob.backup()
        try bob.write("d/lost", "before the restore")
        try bob.write("both", "first")
        network.connect(bob, alice)
        network.run()
        network.disconnectAll()
        try network.restore(bob, backup)
        try bob.write("d/new", "after the restore")
        try bob.rename("d/base", "d/renamed")
        try bob.write("both", "second")
        network.run()
        network.connect(bob, alice)
        network.connect(carol, alice)
        network.run()
        for device in [alice, bob, carol] {
            #expect(try device.text("d/lost") == "before the restore", "\(network.log)")
            #expect(try device.text("d/new") == "after the restore", "\(network.log)")
            #expect(try device.text("d/renamed") == "base")
            #expect(try device.names("d") == ["lost", "new", "renamed"])
            let copies = try device.names().filter { $0.hasPrefix("both (") }
            #expect(copies.count == 1)
            #expect(
                try Set([device.text("both"), device.text(copies[0])]) == ["first", "second"])
        }
        try expectOneTree([alice, bob, carol], network)
        let fork = try #require(bob.volume.status().forks.first)
        #expect(fork.isOwn && fork.isSettled)
        #expect(alice.volume.status().forks.allSatisfy { $0.isSettled && !$0.isOwn })
        #expect(bob.volume.status().device == "bob 2")

        // Life goes on, also after a restart.
        network.disconnectAll()
        try network.restart(bob)
        #expect(bob.volume.status().forks.count == 1)
        try bob.write("d/after", "after")
        try bob.write("d/new", "newer")
        network.connect(bob, alice)
        network.connect(carol, alice)
        network.run()
        #expect(try carol.text("d/after") == "after")
        #expect(try carol.text("d/new") == "newer")
        try expectOneTree([alice, bob, carol], network)
    }

    /// What is older than the grace period may be settled: nothing concurrent with it may come any more.
    @Test(arguments: [false, true])
    func `what is written again has seen what others may have settled`(isOld: Bool) throws {
        let (network, devices) = try Network.forgetfulTrio(seed: 4)
        let (alice, bob, carol) = (devices[0], devices[1], devices[2])
        try bob.write("gone", "base")
        network.run()
        let backup = bob.backup()
        try alice.unlink("gone")
        network.run(seconds: isOld ? 100 : 1)
        try bob.write("last", "bob's last before the disk broke")
        network.run()
        let seen = try #require(
            alice.volume.engine.withLock { $0.ownLog.map { (key: $0.key, length: $0.length) } })
        network.disconnectAll()
        try network.restore(bob, backup)
        try bob.write("gone", "edited")
        network.run(seconds: 1)
        network.connect(bob, alice)
        network.connect(carol, alice)
        network.run(seconds: 30)
        try expectOneTree(devices, network)
        for device in devices {
            #expect(try device.text("gone") == "edited")
            #expect(try device.text("last") == "bob's last before the disk broke")
        }
        let first = try bob.volume.engine.withLock { engine -> UInt64 in
            let bytes = try #require(try engine.ownLog?.block(at: 0))
            var codec = BlockCodec(writer: engine.ownSlot)
            let block = try codec.decode(bytes.span, writers: engine.writers)
            return block.clock[try #require(engine.writers.slot(of: seen.key))]
        }
        #expect((first >= seen.length) == isOld, "\(network.log)")
    }

    @Test(arguments: [(1, 1), (1, 5), (5, 1), (3, 3), (40, 2), (2, 40)])
    func `two clones run on, and nothing of either is lost`(first: Int, second: Int) throws {
        let (network, alice, bob, carol) = try trio(seed: 3)
        let clone = try network.clone(bob)
        for index in 0..<first {
            try bob.write("d/bob\(index)", "bob \(index)")
            network.run(seconds: 0.1)
        }
        for index in 0..<second {
            try clone.write("d/clone\(index)", "clone \(index)")
            network.run(seconds: 0.1)
        }
        network.connect(bob, alice)
        network.run(seconds: 3)
        network.connect(clone, alice)
        network.connect(carol, alice)
        network.run()
        for device in [alice, bob, carol, clone] {
            for index in 0..<first { #expect(try device.text("d/bob\(index)") == "bob \(index)") }
            for index in 0..<second {
                #expect(try device.text("d/clone\(index)") == "clone \(index)")
            }
            #expect(try device.names("d").count == first + second + 1)
        }
        try bob.write("d/base", "bob's")
        network.run()
        try clone.write("d/base", "clone's")
        network.run()
        for device in [alice, bob, carol, clone] {
            #expect(try device.text("d/base") == "clone's")
            #expect(try device.names("d").count == first + second + 1)
        }
        try expectOneTree([alice, bob, carol, clone], network)
        #expect(clone.volume.status().forks.map(\.isSettled) == [true])
    }

    @Test func `clones that write while both are connected are told apart`() throws {
        let (network, alice, bob, carol) = try trio(seed: 4)
        let clone = try network.clone(bob)
        network.connect(bob, alice)
        network.connect(clone, alice)
        network.connect(carol, alice)
        network.run()
        try bob.write("d/bob", "bob's")
        try clone.write("d/clone", "clone's")
        network.run()
        for device in [alice, bob, carol, clone] {
            #expect(try device.text("d/bob") == "bob's", "\(device.name): \(network.log)")
            #expect(try device.text("d/clone") == "clone's", "\(device.name): \(network.log)")
        }
        try expectOneTree([alice, bob, carol, clone], network)
    }

    @Test func `a restored owner goes on as an owner`() throws {
        let (network, alice, bob, carol) = try trio(seed: 5)
        let backup = alice.backup()
        try alice.write("d/lost", "before")
        network.connect(alice, bob)
        network.run()
        network.disconnectAll()
        try network.restore(alice, backup)
        try alice.write("d/new", "after")
        network.run()
        // Only bob, a writer, is there to write the admission down.
        network.connect(alice, bob)
        network.run()
        network.connect(carol, alice)
        network.run()
        for device in [alice, bob, carol] {
            #expect(try device.names("d") == ["base", "lost", "new"], "\(network.log)")
        }
        let log = try #require(alice.volume.engine.withLock { $0.ownLog?.key })
        #expect(bob.volume.engine.withLock { $0.membership.member(log: log)?.role } == .owner)
        try expectOneTree([alice, bob, carol], network)
    }

    @Test func `handles and unsaved data follow their files to the new log`() throws {
        let (network, alice, bob, _) = try trio(seed: 6)
        let backup = bob.backup()
        try bob.write("d/lost", "x")
        network.connect(bob, alice)
        network.run()
        network.disconnectAll()
        try network.restore(bob, backup)
        try bob.write("d/new", "one")
        let old = try bob.directory("d/base")
        let new = try bob.directory("d/new")
        try bob.volume.recordStaged(
            StagedFile(
                node: new, parents: try bob.volume.openContent(of: new).versions, base: .empty,
                size: 1, modified: bob.wallTime(), dirty: [0..<1], file: 7))
        network.run()
        network.connect(bob, alice)
        network.run()
        #expect(bob.volume.status().forks.count == 1)
        #expect(try bob.directory("d/new") != new)
        let staged = try bob.volume.stagedFiles()
        #expect(staged.map(\.node) == [try bob.directory("d/new")])
        try bob.save(old, Array("through the old handle".utf8))
        try bob.save(new, Array("through the new one".utf8))
        try bob.volume.forgetStaged(new)
        #expect(try bob.volume.stagedFiles().isEmpty)
        network.run()
        #expect(try alice.text("d/base") == "through the old handle")
        #expect(try alice.text("d/new") == "through the new one")
        #expect(try alice.names("d") == ["base", "lost", "new"])
    }

    @Test func `a stop while the other history is fetched loses nothing`() throws {
        let (network, alice, bob, carol) = try trio(seed: 7)
        let clone = try network.clone(bob)
        for index in 0..<200 {
            try bob.write("d/bob\(index)", "bob \(index)")
            network.run(seconds: 0.02)
        }
        try clone.write("d/clone", "clone's")
        network.connect(bob, alice)
        network.run()
        network.connect(clone, alice)
        var stops = 0
        for _ in 0..<2000 {
            network.step()
            guard clone.volume.status().forks.first?.isSettled == false else { continue }
            network.disconnectAll()
            try network.restart(clone)
            network.connect(clone, alice)
            stops += 1
            if stops == 3 { break }
        }
        #expect(stops > 0)
        network.connect(bob, alice)
        network.connect(carol, alice)
        network.run()
        #expect(try alice.text("d/clone") == "clone's")
        #expect(try clone.text("d/bob199") == "bob 199")
        try expectOneTree([alice, bob, carol, clone], network)
    }

    @Test func `a succession needs the predecessor's own signature`() throws {
        let (network, alice, bob, _) = try trio(seed: 8)
        network.run()
        var forged = alice.volume.engine.withLock { $0.membership }
        let bobsLog = try #require(bob.volume.engine.withLock { $0.ownLog?.key })
        let mallory = Bytes32(repeating: 7)
        let admission = Operation.Admit(
            device: mallory, log: Bytes32(repeating: 8), role: .writer, name: [],
            succession: .init(predecessor: bobsLog, signature: [UInt8](repeating: 1, count: 64)))
        let stamp = Stamp(
            time: .zero, operation: OperationID(writer: .none, block: 0, index: 0))
        let before = forged
        let isAllowed = forged.apply(.admit(admission), stamp: stamp, author: bobsLog)
        #expect(!isAllowed)
        #expect(forged == before)
    }

    @Test func `clones whose halves went to different members are both written again`() throws {
        let (network, alice, bob, carol) = try trio(seed: 11)
        let clone = try network.clone(bob)
        try bob.write("d/bob", "bob's")
        try clone.write("d/clone", "clone's")
        network.connect(bob, alice)
        network.connect(clone, carol)
        // Until each has shown what it wrote.
        network.run(seconds: 6)
        #expect(try alice.text("d/bob") == "bob's")
        #expect(try carol.text("d/clone") == "clone's")
        // Each finds the other half at one of them, and its own at the other.
        network.connect(bob, carol)
        network.connect(clone, alice)
        network.connect(alice, carol)
        network.run(seconds: 60)
        for device in [alice, bob, carol, clone] {
            #expect(try device.text("d/bob") == "bob's", "\(device.name): \(network.log)")
            #expect(try device.text("d/clone") == "clone's", "\(device.name): \(network.log)")
        }
        for device in [bob, clone] {
            #expect(device.volume.status().forks.contains { $0.isOwn && $0.isSettled })
        }
        // Alice and carol cannot agree, and say so.
        let statuses = [alice, carol].map { $0.volume.status() }
        #expect(statuses[0].clock == statuses[1].clock)
        #expect(statuses[0].digest != statuses[1].digest)
        #expect(statuses[0].disagreeing.contains("carol"))
        #expect(statuses[1].disagreeing.contains("alice"))
        for device in [alice, carol] {
            let problems = try device.volume.check(scratch: MemoryShareStorage()).problems
            #expect(problems.contains { $0.contains("sees other things") })
        }
    }

    // MARK: Who joins by a history that others do not have

    /// Alice founds a share and lets bob in; her device goes back to before that, and lets carol in.
    private func partedFounder(seed: UInt64) throws -> (
        Network, Network.Device, Network.Device, Network.Device
    ) {
        print("seed \(seed)")
        let network = Network(seed: seed)
        let alice = try network.addDevice("alice")
        try alice.write("base", "alice's")
        network.run()
        let backup = alice.backup()
        let bob = try network.addDevice("bob")
        network.connect(bob, alice)
        network.run()
        try bob.write("bob's", "bob's")
        network.run()
        network.disconnectAll()
        try network.restore(alice, backup)
        let carol = try network.addDevice("carol")
        network.connect(carol, alice)
        network.run()
        try carol.write("carol's", "carol's")
        network.run()
        try #require(carol.volume.isAdmitted)
        return (network, alice, bob, carol)
    }

    private func expectAllHeard(_ devices: [Network.Device], _ network: Network) throws {
        for device in devices {
            let status = device.volume.status()
            #expect(status.pending.blocks == 0, "\(device.name): \(network.log)")
            #expect(status.refused == 0, "\(device.name)")
            for name in ["alice", "bob", "carol"] {
                #expect(status.members.contains { $0.device == name }, "\(device.name): \(name)")
                if name != "alice" { #expect(try device.text("\(name)'s") == "\(name)'s") }
            }
        }
        #expect(Set(devices.map { $0.volume.status().digest }).count == 1, "\(network.log)")
    }

    /// Whom one history of the log let in, who has the other never reads there.
    @Test(arguments: [false, true])
    func `members let in by two histories of a log hear of each other`(restarts: Bool) throws {
        let (network, alice, bob, carol) = try partedFounder(seed: 21)
        network.connect(bob, alice)
        network.connect(bob, carol)
        network.run(seconds: 30)
        if restarts {
            network.disconnectAll()
            for device in [alice, bob, carol] { try network.restart(device) }
            network.connect(bob, alice)
            network.connect(bob, carol)
            network.run(seconds: 30)
        }
        try expectAllHeard([alice, bob, carol], network)
        try bob.write("bob's", "bob's")
        try carol.write("carol's", "carol's")
        network.run()
        try expectAllHeard([alice, bob, carol], network)
        // The founder lets bob in once, and not again with every block.
        let blocks = alice.volume.status().clock.values.reduce(0, +)
        network.run(seconds: 60)
        #expect(alice.volume.status().clock.values.reduce(0, +) == blocks)
    }

    /// Whoever let the founder's new log in while carol was away is no member to her.
    @Test func `a member that hears nothing of a new log is shown it`() throws {
        let (network, alice, bob, carol) = try partedFounder(seed: 22)
        network.disconnectAll()
        network.connect(bob, alice)
        network.run(seconds: 30)
        #expect(alice.volume.isAdmitted)
        network.disconnectAll()
        network.connect(carol, alice)
        network.connect(bob, alice)
        network.run(seconds: 60)
        try expectAllHeard([alice, bob, carol], network)
    }

    /// Alice's state is a restored one, and whoever would join is there before the members.
    @Test(arguments: [false, true])
    func `who has just started lets nobody in before members can have said what they have`(
        writes: Bool
    ) throws {
        let (network, alice, bob, carol) = try trio(seed: 29)
        let backup = alice.backup()
        try alice.write("d/later", "after the backup")
        network.connect(bob, alice)
        network.run()
        network.disconnectAll()
        try network.restore(alice, backup)
        if writes { try alice.write("d/new", "after the restore") }
        let dave = try network.addDevice("dave")
        network.connect(dave, alice)
        network.run(seconds: 1)
        #expect(!dave.volume.isAdmitted)
        network.connect(bob, alice)
        network.connect(carol, alice)
        network.run(seconds: 20)
        #expect(dave.volume.isAdmitted)
        #expect(alice.volume.status().forks.count == (writes ? 1 : 0))
        #expect(dave.volume.status().forks.isEmpty)
        try expectOneTree([alice, bob, carol, dave], network)
        #expect(try dave.text("d/later") == "after the backup")
        if writes { #expect(try dave.text("d/new") == "after the restore") }
    }

    /// Bob missed what carol has of alice's lost blocks, and is there first.
    @Test func `who has just started shows nothing new before members can have spoken`() throws {
        let (network, alice, bob, carol) = try trio(seed: 32)
        let backup = alice.backup()
        try alice.write("d/later", "after the backup")
        network.connect(carol, alice)
        network.run()
        network.disconnectAll()
        try network.restore(alice, backup)
        try alice.write("d/new", "after the restore")
        network.connect(bob, alice)
        network.run(seconds: 3)
        network.connect(carol, alice)
        network.run(seconds: 20)
        try expectOneTree([alice, bob, carol], network)
        #expect(try bob.text("d/later") == "after the backup")
        #expect(try bob.text("d/new") == "after the restore")
        #expect(bob.volume.status().forks.isEmpty)
    }

    /// One that never comes again is waited for no longer than any.
    @Test func `who has just started shows its log at once when all were heard`() throws {
        let (network, alice, bob, carol) = try trio(seed: 33)
        try network.restart(alice)
        try alice.write("d/new", "written")
        network.connect(bob, alice)
        network.run(seconds: 1)
        #expect(throws: (any Error).self) { try bob.text("d/new") }
        network.connect(carol, alice)
        network.run(seconds: 1)
        #expect(try bob.text("d/new") == "written")
        network.disconnectAll()
        try network.restart(alice)
        try alice.write("d/newer", "written")
        network.connect(bob, alice)
        network.run(seconds: 6)
        #expect(try bob.text("d/newer") == "written")
    }

    /// A computer may sleep between its start and the first connection, and in between: that is no listening.
    @Test func `who waits to be let in is let in though nobody else comes`() throws {
        let (network, alice, _, _) = try trio(seed: 30)
        try network.restart(alice)
        let dave = try network.addDevice("dave")
        network.run(seconds: 60)
        network.connect(dave, alice)
        network.run(seconds: 2)
        #expect(!dave.volume.isAdmitted)
        network.disconnectAll()
        network.run(seconds: 60)
        network.connect(dave, alice)
        network.run(seconds: 2)
        #expect(!dave.volume.isAdmitted)
        network.run(seconds: 3)
        #expect(dave.volume.isAdmitted)
        try expectOneTree([alice, dave], network)
    }

    @Test func `who knows no other member waits for nobody`() throws {
        let network = Network(seed: 31)
        let alice = try network.addDevice("alice")
        network.run(seconds: 1)
        try network.restart(alice)
        let bob = try network.addDevice("bob")
        network.connect(bob, alice)
        network.run(seconds: 1)
        #expect(bob.volume.isAdmitted)
    }

    /// Goes back to before a write that another device has, and lets a new one in before it hears of that.
    private func letInAfterRestore(
        by device: Network.Device, heardBy other: Network.Device, in network: Network
    ) throws {
        let backup = device.backup()
        try device.write("d/lost", "before the restore")
        network.connect(device, other)
        network.run()
        network.disconnectAll()
        try network.restore(device, backup)
        let dave = try network.addDevice("dave")
        network.connect(dave, device)
        network.run()
        try #require(dave.volume.isAdmitted)
        network.disconnectAll()
    }

    @Test func `whom a device's new log lets in before it is a member's is a member`() throws {
        let (network, alice, bob, carol) = try trio(seed: 23)
        try letInAfterRestore(by: bob, heardBy: alice, in: network)
        network.connect(bob, alice)
        network.connect(carol, alice)
        network.run()
        #expect(bob.volume.status().device == "bob 2")
        for device in [alice, bob, carol] {
            let members = device.volume.status().members.map(\.device)
            #expect(members.contains("dave"), "\(device.name)")
        }
        try expectOneTree([alice, bob, carol], network)
    }

    /// Where logs have ended nothing that was let in by a block follows that to where it is written again.
    @Test func `whom a new log lets in is a member where others have ended too`() throws {
        let (network, alice, bob, carol) = try trio(seed: 24)
        network.connect(bob, alice)
        network.connect(carol, alice)
        network.run()
        _ = try alice.volume.retire("carol")
        network.run()
        network.disconnectAll()
        try letInAfterRestore(by: bob, heardBy: alice, in: network)
        network.connect(bob, alice)
        network.run()
        #expect(bob.volume.status().device == "bob 2")
        let now = try #require(bob.volume.engine.withLock { $0.ownLog?.key })
        for device in [alice, bob] {
            device.volume.engine.withLock { engine in
                let logs = engine.membership.admissions.filter {
                    $0.member.name == Array("dave".utf8)
                }
                .map(\.order.writer)
                #expect(logs.contains(now), "\(device.name)")
            }
            #expect(device.volume.status().refused == 0, "\(device.name)")
        }
    }

    // MARK: Numbers that no operation has

    /// A checkpoint tells who was admitted where, and the folder of the state keeps it: as any 64-bit numbers.
    @Test(
        arguments: [
            (0, .max), (0, UInt64(Int.max) + 1), (0, 1 << 14), (1 << 36, 0), (.max, .max),
            (.max - 1, 0),
        ] as [(UInt64, UInt64)])
    func `an admission at a place that no operation can have ends nothing`(
        block: UInt64, index: UInt64
    ) throws {
        let (network, alice, bob, carol) = try trio(seed: 25)
        let (ghost, log) = (Bytes32(repeating: 9), bob.volume.engine.withLock { $0.ownLog?.key })
        let own = try #require(log)
        try bob.volume.engine.withLock { engine in
            for (writer, key) in [(own, ghost), (own, Bytes32(repeating: 10))] {
                let member = Membership.Member(
                    log: key, device: key, name: Array("ghost".utf8), role: .writer,
                    admitted: OperationOrder(
                        time: .max, writer: writer, block: block, index: index))
                engine.membership.members[key] = member
                engine.membership.admissions.append(.init(member: member, predecessor: nil))
            }
            engine.membershipChanged = true
            engine.markDirty()
            try engine.commit()
        }
        try network.restart(bob)
        let backup = bob.backup()
        try bob.write("d/lost", "before the restore")
        network.connect(bob, alice)
        network.run()
        network.disconnectAll()
        try network.restore(bob, backup)
        try bob.write("d/new", "after the restore")
        network.run()
        network.connect(bob, alice)
        network.connect(carol, alice)
        network.run()
        #expect(bob.volume.status().device == "bob 2")
        for device in [alice, bob, carol] {
            #expect(try device.names("d") == ["base", "lost", "new"], "\(network.log)")
            let ended = device.volume.engine.withLock { $0.membership.hasEndings }
            #expect(!ended)
        }
        let kept = bob.volume.engine.withLock { $0.membership.admission(of: ghost) }
        #expect(kept.map { $0 == (own, block) } == true)
        // Nobody is shown what cannot be.
        _ = try bob.volume.engine.withLock { try $0.hello() }
        for device in [alice, carol] {
            #expect(!device.volume.status().members.contains { $0.log == ghost.hex })
        }
    }

    @Test func `what no log can have in a proof is refused`() throws {
        let (_, alice, _, _) = try trio(seed: 26)
        try alice.volume.engine.withLock { engine in
            for block in [1 << 36, .max] as [UInt64] {
                let point = StartingPoint(
                    links: [
                        .init(log: engine.membership.foundingLog, block: 0),
                        .init(log: engine.membership.foundingLog, block: block),
                    ])
                guard case .wrong = try engine.check(point) else {
                    Issue.record("block \(block)")
                    continue
                }
            }
        }
    }

    @Test func `a beginning that no log can have is not read`() throws {
        let (_, alice, _, _) = try trio(seed: 27)
        alice.volume.engine.withLock { engine in
            for (number, seen) in [(1 << 36, 1 << 36), (1 + 1 << 36, 0), (0, 1 + 1 << 36)]
                as [(UInt64, UInt64)]
            {
                var clock = Clock()
                clock[engine.ownSlot] = seen
                let state = BlockCodec(
                    number: number, time: .zero, clock: clock, writers: [engine.ownSlot])
                let bytes = engine.encodedStarts([state])
                let isRead = (try? engine.decodeStarts(bytes)) != nil
                #expect(isRead == (number <= 1 << 36 && seen <= 1 << 36))
                var writer = WireWriter()
                engine.write(SettledHistory(clock: clock, newestTime: .zero), into: &writer)
                var reader = WireReader(writer.bytes.span)
                let isSettled = (try? engine.readSettled(&reader)) != nil
                #expect(isSettled == (seen <= 1 << 36))
            }
        }
    }

    /// As where a disk lost the end of the log, and not where it begins here.
    @Test func `a log that ends before it begins has no blocks to write again`() throws {
        let (_, alice, _, _) = try trio(seed: 28)
        try alice.volume.sync()
        try alice.volume.engine.withLock { engine in
            let log = try #require(engine.ownLog)
            engine.starts[engine.ownSlot] = BlockCodec(
                number: log.length + 5, time: .zero, clock: Clock(), writers: [engine.ownSlot])
            let blocks = try #require(try engine.blocks(of: log, from: log.length + 7))
            #expect(blocks.isEmpty)
        }
    }

    // MARK: What cannot be written again

    /// Appends blocks to a device's own log by hand, the frames after the operations.
    private func append(
        _ blocks: [(operations: [Operation], frames: [[UInt8]])], to device: Network.Device
    ) throws {
        try device.volume.sync()
        try device.volume.engine.withLock { engine in
            let slot = engine.ownSlot
            let log = try #require(engine.ownLog)
            var codec = engine.codecs[slot] ?? BlockCodec(writer: slot)
            var encoded: [[UInt8]] = []
            for block in blocks {
                var clock = engine.tree.clock
                clock[slot] = codec.number
                let bytes = try codec.encode(
                    Block(
                        time: engine.hybrid.next(wallMilliseconds: 0), clock: clock,
                        operations: block.operations), writers: engine.writers)
                var output = WireWriter()
                for frame in block.frames { output.writeBuffer(frame) }
                encoded.append(bytes + output.bytes)
            }
            try log.append(encoded)
            engine.markDirty()
        }
    }

    private func nextBlock(of device: Network.Device) throws -> OperationID {
        try device.volume.sync()
        return try device.volume.engine.withLock { engine in
            OperationID(writer: engine.ownSlot, block: try #require(engine.ownLog).length, index: 0)
        }
    }

    @Test func `what refers to a checkpoint is not written again, and all else is`() throws {
        let (network, alice, bob, carol) = try trio(seed: 9)
        let backup = bob.backup()
        try bob.write("d/lost", "before the restore")
        network.connect(bob, alice)
        network.run()
        network.disconnectAll()
        try network.restore(bob, backup)
        let checkpoint = try nextBlock(of: bob)
        try append(
            [
                ([.checkpoint(.init(digest: .zero))], []),
                ([.place(.init(.new(checkpoint), in: .root, named: Array("ghost".utf8)))], []),
            ], to: bob)
        network.run()
        try bob.write("d/new", "after the restore")
        network.run()
        network.connect(bob, alice)
        network.connect(carol, alice)
        network.run()
        for device in [alice, bob, carol] {
            #expect(try device.names("d") == ["base", "lost", "new"], "\(network.log)")
        }
        try expectOneTree([alice, bob, carol], network)
        #expect(bob.volume.status().forks.map(\.isSettled) == [true])
    }

    @Test func `what a newer version wrote keeps the histories apart, and loses nothing`() throws {
        let (network, alice, bob, carol) = try trio(seed: 10)
        let backup = bob.backup()
        try bob.write("d/lost", "before the restore")
        network.connect(bob, alice)
        network.run()
        try alice.write("d/lost", "edited")
        network.run()
        network.disconnectAll()
        try network.restore(bob, backup)
        let unknown = try nextBlock(of: bob)
        try append(
            [
                ([], [[99, 1, 2, 3]]),
                ([.place(.init(.new(unknown), in: .root, named: Array("newer".utf8)))], []),
            ], to: bob)
        network.run()
        try bob.write("d/new", "after the restore")
        network.run()
        for _ in 0..<2 {
            network.connect(bob, alice)
            network.connect(carol, alice)
            try carol.write("d/carol", "carol's")
            network.run()
            let fork = try #require(bob.volume.status().forks.first)
            #expect(!fork.isSettled)
            #expect(fork.hindrance?.contains("start that version again") == true)
            let problems = try bob.volume.check(scratch: MemoryShareStorage()).problems
            #expect(problems.contains { $0.contains("newer version") })

            // Life goes on: what is written is kept here, and nothing is taken for another thing.
            try bob.write("d/more", "more")
            network.run()
            #expect(try bob.text("d/new") == "after the restore")
            #expect(try bob.text("d/more") == "more")
            #expect(try alice.text("d/lost") == "edited")
            network.disconnectAll()
            try network.restart(bob)
            #expect(try bob.text("d/more") == "more")
        }
        let log = try #require(bob.volume.engine.withLock { $0.ownLog })
        let bytes = try #require(try log.block(at: unknown.block))
        #expect(bytes.suffix(5) == [4, 99, 1, 2, 3])
    }
}
