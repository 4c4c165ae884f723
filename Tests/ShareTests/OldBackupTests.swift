import Base
import FileTree
import Hypercore
import Testing

@testable import Share

/// A device goes back to a state older than what the others begin from: what is missing is in no log any more.
@Suite struct OldBackupTests {
    private func trio(seed: UInt64) throws -> (Network, [Network.Device]) {
        print("seed \(seed)")
        let network = Network(seed: seed)
        network.checkpointPolicy = CheckpointPolicy(
            growthMin: 16 << 10, quiet: .seconds(10), turns: .seconds(20), grace: .seconds(60),
            objectsPerTurn: 100, history: .seconds(600))
        var devices: [Network.Device] = []
        for name in ["alice", "bob", "carol"] {
            let device = try network.addDevice(name)
            if let first = devices.first { network.connect(device, first) }
            devices.append(device)
        }
        network.run()
        try devices[0].mkdir("d")
        try devices[0].mkdir("doomed")
        try devices[0].mkdir("moved")
        network.run()
        for name in ["kept", "edited", "deleted", "d/deep", "doomed/deep", "moved/file", "both", "theirs"]
        {
            try devices[1].write(name, "first of \(name)")
        }
        network.run(seconds: 60)
        return (network, devices)
    }

    /// Everybody lives on until what came before is given back.
    private func liveOn(_ network: Network, _ devices: [Network.Device], from first: Int = 0) throws {
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
        print(try bob.names(), try alice.names(), network.log.suffix(6), bob.volume.status().forks)
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
}
