import Base
import Testing

@testable import Share

/// What is done to a conflict copy through the volume.
@Suite struct ConflictCopyTests {
    /// A file with two heads, on two connected devices; bob's is shown, alice's is the copy.
    private func conflict(seed: UInt64) throws -> (Network, Network.Device, Network.Device, String)
    {
        let network = Network(seed: seed)
        let alice = try network.addDevice("alice")
        let bob = try network.addDevice("bob")
        network.connect(bob, alice)
        network.run()
        try alice.write("f.bin", "\0base")
        network.run()
        network.disconnectAll()
        try alice.write("f.bin", "\0alice")
        network.run(seconds: 1)
        try bob.write("f.bin", "\0bob")
        network.run(seconds: 1)
        network.connect(bob, alice)
        network.run()
        let copy = try #require(try alice.names().first { $0.hasPrefix("f (conflict alice ") })
        #expect(try alice.text(copy) == "\0alice")
        #expect(try alice.text("f.bin") == "\0bob")
        return (network, alice, bob, copy)
    }

    @Test func `an edited copy becomes a file of its own, under the name it showed`() throws {
        let (network, alice, bob, copy) = try conflict(seed: 1)
        // As a mount does it: the look-up is long past, only the node is known.
        try alice.save(try alice.directory(copy), Array("\0a file now".utf8))
        network.run()
        for device in [alice, bob] {
            #expect(try device.names() == [copy, "f.bin"])
            #expect(try device.text(copy) == "\0a file now")
            #expect(try device.text("f.bin") == "\0bob")
            #expect(device.volume.status().conflicts == 0)
        }
    }

    @Test func `a copy that becomes a file keeps the extended attributes that it showed`() throws {
        let (network, alice, bob, copy) = try conflict(seed: 3)
        let name = Array("user.colour".utf8)
        try bob.volume.setExtendedAttribute(
            name, of: try bob.directory("f.bin"), to: [7], mustExist: false, mustBeNew: false)
        network.run()
        try alice.save(try alice.directory(copy), Array("\0a file now".utf8))
        network.run()
        for device in [alice, bob] {
            for file in [copy, "f.bin"] {
                let node = try device.directory(file)
                #expect(try device.volume.extendedAttribute(name, of: node) == [7])
            }
        }
    }

    @Test func `a copy whose mode is set becomes a file of its own`() throws {
        let (network, alice, bob, copy) = try conflict(seed: 2)
        let changed = try bob.volume.setAttributes(
            of: try bob.directory(copy), to: AttributeChange(mode: 0o600))
        #expect(changed.mode == 0o600)
        #expect(try bob.volume.lookup(Array(copy.utf8), in: .root).node == changed.node)
        network.run()
        for device in [alice, bob] {
            #expect(try device.text(copy) == "\0alice")
            #expect(try device.volume.lookup(Array(copy.utf8), in: .root).mode == 0o600)
            #expect(try device.volume.lookup(Array("f.bin".utf8), in: .root).mode == 0o644)
            #expect(device.volume.status().conflicts == 0)
        }
    }
}
