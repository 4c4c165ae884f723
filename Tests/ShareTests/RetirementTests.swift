import Base
import FileTree
import Hypercore
import Testing

@testable import Share

/// Members that never return, or return when nobody waits for them any more.
@Suite struct RetirementTests {
    private func network(seed: UInt64, _ names: [String] = ["alice", "bob", "carol"]) throws -> (
        Network, [Network.Device]
    ) {
        let network = Network(seed: seed)
        network.checkpointPolicy = CheckpointPolicy(
            growthMin: 16 << 10, quiet: .seconds(10), turns: .seconds(20), grace: .seconds(60),
            objectsPerTurn: 100, history: .seconds(600))
        var devices: [Network.Device] = []
        for name in names {
            let device = try network.addDevice(name)
            if let first = devices.first { network.connect(device, first) }
            devices.append(device)
        }
        network.run(seconds: 60)
        for device in devices { try device.write("of \(device.name)", "first") }
        network.run(seconds: 60)
        network.disconnectAll()
        return (network, devices)
    }

    /// Writes much for a while, so that checkpoints are due.
    private func grow(
        _ network: Network, _ devices: [Network.Device], rounds: Int = 10, from first: Int = 0
    ) throws {
        for round in first..<first + rounds {
            for device in devices {
                for index in 0..<12 {
                    try device.write(
                        "f\(index)",
                        "\(device.name) \(round) " + String(repeating: "x", count: 300))
                    try device.write("gone \(index)", "soon removed")
                    try device.unlink("gone \(index)")
                }
                network.run(seconds: 40)
            }
            network.run(seconds: 900)
        }
    }

    private func hasCompacted(_ device: Network.Device) -> Bool {
        device.volume.engine.withLock { engine in
            engine.base?.log == engine.ownLog?.key && engine.compaction == nil
        }
    }

    private func expectOne(_ devices: [Network.Device], _ network: Network) throws {
        #expect(Set(devices.map { $0.volume.status().digest }).count == 1, "\(network.log)")
        let names = try devices[0].names()
        for device in devices {
            let status = device.volume.status()
            #expect(status.pending.blocks == 0, "\(device.name)")
            #expect(status.disagreeing.isEmpty, "\(device.name)")
            #expect(status.refused == 0, "\(device.name)")
            #expect(try device.names() == names)
            for name in names { #expect(try device.text(name) == devices[0].text(name)) }
            let report = try device.volume.check(scratch: MemoryShareStorage())
            #expect(report.problems.isEmpty, "\(device.name)")
        }
    }

    @Test(arguments: [true, false])
    func `history is given back once the lost member is retired or revoked`(_ isRevoked: Bool)
        throws
    {
        let (network, devices) = try network(seed: 1)
        let (alice, bob, carol) = (devices[0], devices[1], devices[2])
        network.connect(alice, bob)
        try carol.write("unsynced", "on carol's only")
        network.run()
        try grow(network, [alice, bob])
        #expect(!hasCompacted(alice) && !hasCompacted(bob))
        if isRevoked {
            #expect(try alice.volume.revoke("carol") == ["carol"])
        } else {
            #expect(try alice.volume.retire("carol") == "carol")
        }
        try grow(network, [alice, bob], from: 10)
        for device in [alice, bob] {
            #expect(hasCompacted(device), "\(device.name) \(network.log)")
        }
        try expectOne([alice, bob], network)
        let digest = alice.volume.status().digest
        for device in [alice, bob] {
            try device.volume.rebuildView()
            #expect(device.volume.status().digest == digest)
        }

        // She comes back, with blocks that nobody has, and lacks blocks that nobody has any more.
        network.connect(carol, alice)
        network.connect(carol, bob)
        network.run(seconds: 120)
        try expectOne([alice, bob], network)
        #expect(try alice.text("of carol") == "first")
        #expect(throws: VolumeError.notFound) { try alice.text("unsynced") }
        #expect(try carol.text("unsynced") == "on carol's only")
        // What ended her is in blocks that she cannot get any more: she is told by a member.
        let problems = carol.volume.status().problems
        #expect(problems.contains { $0.contains(isRevoked ? "revoked" : "retired") })
        try carol.write("more", "still works")
        network.run()
        network.disconnectAll()
        try network.restart(carol)
        network.connect(carol, alice)
        network.run(seconds: 60)
        #expect(try carol.text("more") == "still works")

        // A new device starts as ever, also by way of her who is gone.
        let dave = try network.addDevice("dave")
        network.connect(dave, carol)
        network.run(seconds: 60)
        network.connect(dave, alice)
        network.run(seconds: 120)
        try expectOne([alice, bob, dave], network)
        #expect(dave.volume.status().start != nil)
    }

    @Test func `who is left alone gives history back, also after a restart`() throws {
        let (network, devices) = try network(seed: 9, ["alice", "bob"])
        let alice = devices[0]
        #expect(try alice.volume.retire("bob") == "bob")
        try network.restart(alice)
        try grow(network, [alice])
        #expect(hasCompacted(alice), "\(network.log)")
        #expect(try alice.volume.check(scratch: MemoryShareStorage()).problems.isEmpty)
    }

    @Test func `what any member has of a retired log stays, and nothing more comes`() throws {
        let (network, devices) = try network(seed: 2, ["alice", "bob", "carol", "dave"])
        let (alice, bob, carol, dave) = (devices[0], devices[1], devices[2], devices[3])
        try carol.write("for bob", "only bob has it")
        network.connect(bob, carol)
        network.run(seconds: 60)
        network.disconnectAll()
        try carol.write("for nobody", "unsynced")
        _ = try alice.volume.retire("carol")
        network.run(seconds: 60)
        // Alice meets her first: what nobody else has is not taken, though it comes with what bob has.
        network.connect(alice, carol)
        network.run(seconds: 60)
        #expect(try !alice.names().contains("for bob"))
        network.connect(alice, bob)
        network.run(seconds: 90)
        network.connect(dave, alice)
        network.connect(dave, carol)
        network.run(seconds: 90)
        try expectOne([alice, bob, dave], network)
        for device in [alice, bob, dave] {
            #expect(try device.text("for bob") == "only bob has it")
            #expect(try !device.names().contains("for nobody"))
        }
        #expect(try carol.text("for nobody") == "unsynced")
        let problems = carol.volume.status().problems
        #expect(problems.contains { $0.contains("retired") && $0.contains("this device only") })
        #expect(carol.volume.engine.withLock { $0.ownUncounted } > 0)
    }

    @Test func `a device that leaves ends with what it wrote`() throws {
        let (network, devices) = try network(seed: 3)
        let (alice, bob, carol) = (devices[0], devices[1], devices[2])
        try carol.write("last", "words")
        #expect(try carol.volume.retire("carol") == "carol")
        network.run()
        try carol.write("after", "nobody's")
        network.connect(alice, carol)
        network.connect(bob, alice)
        network.run(seconds: 90)
        try expectOne([alice, bob], network)
        #expect(try bob.text("last") == "words")
        #expect(try !bob.names().contains("after"))
        #expect(try carol.text("after") == "nobody's")
        network.disconnectAll()
        network.connect(alice, bob)
        try grow(network, [alice, bob])
        for device in [alice, bob] {
            #expect(hasCompacted(device), "\(device.name) \(network.log)")
        }
        try expectOne([alice, bob], network)
    }

    @Test func `only owners end others' logs, and names must be clear`() throws {
        let (network, devices) = try network(seed: 4, ["alice", "bob", "bob"])
        network.connect(devices[0], devices[1])
        network.connect(devices[0], devices[2])
        network.run(seconds: 60)
        #expect(throws: MemberError.notOwner) { try devices[1].volume.retire("alice") }
        #expect(throws: MemberError.unknown("erin")) { try devices[0].volume.revoke("erin") }
        #expect(throws: MemberError.isOwnDevice) { try devices[0].volume.revoke("alice") }
        do {
            _ = try devices[0].volume.revoke("bob")
            Issue.record("a name of two devices was taken")
        } catch .ambiguous(let name, let keys) {
            #expect(name == "bob" && Set(keys).count == 2)
            #expect(try devices[0].volume.retire(keys[0]) == "bob")
            #expect(throws: MemberError.hasEnded("bob")) {
                try devices[0].volume.retire(keys[0])
            }
        } catch {
            Issue.record("\(error)")
        }
        #expect(
            devices[0].volume.status().members.map(\.state).sorted() == [
                "member", "member", "retired",
            ])
    }

    @Test func `a checkpoint that holds a revoked member's later blocks starts nobody`() throws {
        let (network, devices) = try network(seed: 5)
        let (alice, bob, carol) = (devices[0], devices[1], devices[2])
        network.connect(bob, carol)
        _ = try alice.volume.revoke("carol")
        network.run()
        // Bob and carol have not heard, and write much.
        try grow(network, [bob, carol], rounds: 6)
        #expect(bob.volume.status().checkpoint != nil)
        let dave = try network.addDevice("dave")
        network.connect(dave, bob)
        network.run(seconds: 120)
        #expect(dave.volume.status().start != nil, "\(network.log)")
        #expect(dave.volume.status().problems.isEmpty)
        network.connect(alice, bob)
        network.run(seconds: 120)
        network.connect(alice, dave)
        network.run(seconds: 120)
        try expectOne([alice, bob], network)
        // Dave began with what does not count: it says so, and goes on.
        #expect(dave.volume.status().problems.contains { $0.contains("began from a checkpoint") })
        try dave.write("dave's", "goes on")
        network.run(seconds: 60)
        #expect(try alice.text("dave's") == "goes on")
        let erin = try network.addDevice("erin")
        network.connect(erin, dave)
        network.run(seconds: 30)
        network.connect(erin, bob)
        network.run(seconds: 120)
        try expectOne([alice, bob, erin], network)
    }

    @Test func `the log before a fork can be retired by itself`() throws {
        let (network, devices) = try network(seed: 6)
        let (alice, bob, carol) = (devices[0], devices[1], devices[2])
        let backup = bob.backup()
        try bob.write("d1", "before the restore")
        network.connect(bob, alice)
        network.connect(carol, alice)
        network.run(seconds: 60)
        network.disconnectAll()
        try network.restore(bob, backup)
        try bob.write("d2", "after the restore")
        network.run()
        network.connect(bob, alice)
        network.connect(carol, alice)
        network.run(seconds: 90)
        #expect(
            alice.volume.status().members.map(\.device).sorted() == [
                "alice", "bob", "bob 2", "carol",
            ])
        #expect(try alice.volume.retire("bob") == "bob")
        network.run(seconds: 90)
        try grow(network, devices)
        for device in devices { #expect(hasCompacted(device), "\(device.name) \(network.log)") }
        try expectOne(devices, network)
        // One thief has the keys of both.
        #expect(try alice.volume.revoke("bob") == ["bob", "bob 2"])
    }

    @Test func `who came by a device that had ended long before is told, and can join anew`() throws
    {
        let (network, devices) = try network(seed: 7)
        let (alice, bob, carol) = (devices[0], devices[1], devices[2])
        network.connect(alice, bob)
        network.connect(alice, carol)
        network.connect(bob, carol)
        try grow(network, devices, rounds: 4)
        #expect(carol.volume.status().checkpoint != nil)
        network.disconnectAll()
        network.connect(alice, bob)
        _ = try alice.volume.retire("carol")
        try grow(network, [alice, bob], rounds: 16, from: 4)
        for device in [alice, bob] { #expect(hasCompacted(device), "\(network.log)") }
        // Carol was not told, and lets dave in.
        let dave = try network.addDevice("dave")
        network.connect(dave, carol)
        network.run(seconds: 120)
        #expect(dave.volume.isAdmitted)
        #expect(dave.volume.status().problems.isEmpty)
        try dave.write("daves", "written in vain")
        network.run()
        network.disconnectAll()
        network.connect(dave, alice)
        network.run(seconds: 120)
        try expectOne([alice, bob], network)
        let problems = dave.volume.status().problems
        #expect(
            problems.contains { $0.contains("carol, by whom") && $0.contains("join --anew") },
            "\(problems)")
        // It gives nobody a start.
        let erin = try network.addDevice("erin")
        network.connect(erin, dave)
        network.run(seconds: 60)
        #expect(!erin.volume.isAdmitted)
        network.connect(erin, alice)
        network.run(seconds: 120)
        try expectOne([alice, bob, erin], network)
        // What it wrote can be had.
        let view = try dave.volume.uncounted(
            of: nil, scratch: (MemoryShareStorage(), MemoryShareStorage()))
        let item = view.items.first { $0.path == [Array("daves".utf8)] }
        #expect(item?.isNew == true)
        #expect(try dave.text("daves") == "written in vain")
    }

    /// Bob lets dave in and writes on; alice, who has heard of neither, retires bob.
    private func retireUnheard(_ seed: UInt64) throws -> (
        Network, [Network.Device], Network.Device
    ) {
        let (network, devices) = try network(seed: seed)
        let (alice, bob) = (devices[0], devices[1])
        let dave = try network.addDevice("dave")
        network.connect(dave, bob)
        network.run(seconds: 60)
        try bob.write("bobs", "after dave came")
        network.run(seconds: 60)
        try dave.write("daves", "for everybody")
        network.run()
        network.disconnectAll()
        _ = try alice.volume.retire("bob")
        network.run()
        return (network, devices, dave)
    }

    @Test func `who came by a device that was retired before others knew says so`() throws {
        let (network, devices, dave) = try retireUnheard(8)
        let (alice, carol) = (devices[0], devices[2])
        #expect(dave.volume.status().problems.isEmpty)
        network.connect(alice, carol)
        network.connect(dave, alice)
        network.run(seconds: 120)
        try expectOne([alice, carol], network)
        #expect(try !alice.names().contains("daves"))
        let problems = dave.volume.status().problems
        #expect(
            problems.contains { $0.contains("bob, by whom") && $0.contains("join --anew") },
            "\(problems)")
        // A start does not make it forget.
        try network.restart(dave)
        #expect(dave.volume.status().problems.contains { $0.contains("bob, by whom") })
        // It gives nobody a start.
        let erin = try network.addDevice("erin")
        network.connect(erin, dave)
        network.run(seconds: 60)
        #expect(!erin.volume.isAdmitted)
        // What it wrote can be had, and what it has of bob's and the others do not take.
        let view = try dave.volume.uncounted(
            of: nil, scratch: (MemoryShareStorage(), MemoryShareStorage()))
        let found = view.items.filter(\.isNew).map { $0.path }
        #expect(Set(found) == [[Array("daves".utf8)], [Array("bobs".utf8)]])
    }

    @Test func `who came by a retired device is a member as soon as one who knew is back`() throws {
        let (network, devices, dave) = try retireUnheard(9)
        let (alice, bob, carol) = (devices[0], devices[1], devices[2])
        network.connect(carol, bob)
        network.run(seconds: 30)
        #expect(try carol.text("bobs") == "after dave came")
        network.disconnectAll()
        network.connect(dave, alice)
        network.run(seconds: 60)
        #expect(dave.volume.status().problems.contains { $0.contains("bob, by whom") })
        network.connect(carol, alice)
        network.run(seconds: 120)
        #expect(dave.volume.status().problems.isEmpty)
        try expectOne([alice, carol, dave], network)
        #expect(try alice.text("daves") == "for everybody")
        #expect(try carol.text("bobs") == "after dave came")
        // What they said stays true when they are gone.
        for device in [carol, alice] {
            _ = try device.volume.retire(device.name)
            network.run(seconds: 60)
        }
        #expect(dave.volume.status().problems.isEmpty)
        let erin = try network.addDevice("erin")
        network.disconnectAll()
        network.connect(erin, dave)
        network.run(seconds: 60)
        try expectOne([dave, erin], network)
    }
}
