import Base
import Testing

@testable import Share

/// Files that are hidden behind another because name and bytes are equal, and what they show besides.
@Suite struct TwinTests {
    /// `f.bin` is alice's; bob's file of that name has the same bytes, and a copy by carol.
    private func twins(seed: UInt64) throws -> (Network, [Network.Device], copy: String) {
        let network = Network(seed: seed)
        let alice = try network.addDevice("alice")
        let bob = try network.addDevice("bob")
        let carol = try network.addDevice("carol")
        func connect() {
            network.connect(bob, alice)
            network.connect(carol, alice)
            network.run()
        }
        connect()
        try bob.write("x", "\0base")
        network.run()
        network.disconnectAll()
        try carol.write("x", "\0carol's")
        network.run(seconds: 1)
        try alice.write("f.bin", "\0same")
        network.run(seconds: 1)
        try bob.write("x", "\0same")
        try bob.rename("x", "f.bin")
        network.run(seconds: 1)
        connect()
        let copy = try #require(try alice.names().first { $0.hasPrefix("f (conflict ") })
        for device in [alice, bob, carol] {
            #expect(try device.names() == [copy, "f.bin"])
            #expect(try device.text("f.bin") == "\0same")
            #expect(try device.text(copy) == "\0carol's")
        }
        return (network, [alice, bob, carol], copy)
    }

    private func expect(
        _ texts: [String: String], on devices: [Network.Device], _ network: Network
    ) throws {
        network.run()
        for device in devices {
            var shown: [String: String] = [:]
            for name in try device.names() {
                let isCopy = name.hasPrefix("f (conflict ")
                shown[isCopy ? "copy" : name] = try device.text(name)
            }
            #expect(shown == texts, "\(device.name)")
        }
    }

    @Test func `a save buries no copy of a file that is hidden behind the saved one`() throws {
        let (network, devices, _) = try twins(seed: 1)
        try devices[0].write("f.bin", "\0new")
        try expect(["f.bin": "\0new", "copy": "\0carol's"], on: devices, network)
        // Somebody has still to decide.
        #expect(devices.allSatisfy { $0.volume.status().conflicts == 1 })
    }

    @Test func `nor does a save by rename`() throws {
        let (network, devices, _) = try twins(seed: 2)
        try devices[0].write(".tmp", "\0new")
        try devices[0].rename(".tmp", "f.bin")
        try expect(["f.bin": "\0new", "copy": "\0carol's"], on: devices, network)
        #expect(devices.allSatisfy { $0.volume.status().conflicts == 1 })
    }

    @Test func `who renames a file leaves the copy where it is`() throws {
        let (network, devices, _) = try twins(seed: 3)
        try devices[2].rename("f.bin", "g.bin")
        try expect(["g.bin": "\0same", "copy": "\0carol's"], on: devices, network)
    }

    @Test func `who removes a file, or replaces it, leaves the copy where it is`() throws {
        let (network, devices, copy) = try twins(seed: 4)
        try devices[1].unlink("f.bin")
        try expect(["copy": "\0carol's"], on: devices, network)
        #expect(try devices[0].names() == [copy])

        let (other, others, _) = try twins(seed: 5)
        try others[0].write("old", "\0old")
        other.run()
        other.disconnectAll()
        // Long ago: it is no save by rename.
        try other.restart(others[0])
        other.connect(others[1], others[0])
        other.connect(others[2], others[0])
        try others[0].rename("old", "f.bin")
        try expect(["f.bin": "\0old", "copy": "\0carol's"], on: others, other)
    }

    @Test func `a copy chosen over the file takes its twin's place too`() throws {
        let (network, devices, copy) = try twins(seed: 7)
        try devices[0].rename(copy, "f.bin")
        network.run()
        for device in devices {
            #expect(try device.names().filter { $0 == "f.bin" } == ["f.bin"])
            #expect(try device.text("f.bin") == "\0carol's")
        }
    }

    @Test func `two equal files that change places are both there afterwards`() throws {
        let network = Network(seed: 8)
        let alice = try network.addDevice("alice")
        let bob = try network.addDevice("bob")
        network.connect(bob, alice)
        network.run()
        for (one, other) in [("a", "b"), ("d/a", "a")] {
            if one == "d/a" { try alice.mkdir("d") }
            for name in [one, other] { try alice.write(name, "same") }
            network.run()
            try alice.exchange(one, other)
            network.run()
            for device in [alice, bob] {
                #expect(try device.text(one) == "same", "\(device.name)")
                #expect(try device.text(other) == "same", "\(device.name)")
            }
        }
    }

    @Test func `a folder that was just moved changes places with another and stays itself`() throws
    {
        let network = Network(seed: 9)
        let alice = try network.addDevice("alice")
        let bob = try network.addDevice("bob")
        network.connect(bob, alice)
        for name in ["new", "d"] {
            try alice.mkdir(name)
            try alice.write(name + "/in " + name, "text")
        }
        network.run()
        // In one block.
        try alice.rename("new", "d.new")
        try alice.exchange("d", "d.new")
        network.run()
        for device in [alice, bob] {
            #expect(try device.text("d/in new") == "text", "\(device.name)")
            #expect(try device.text("d.new/in d") == "text", "\(device.name)")
        }
    }
}
