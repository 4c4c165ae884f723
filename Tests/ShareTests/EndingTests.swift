import Base
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
}
