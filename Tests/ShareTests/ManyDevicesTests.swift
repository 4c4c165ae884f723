import Base
import Testing

@testable import Share

/// Fifty whole devices and one name.
@Suite struct ManyDevicesTests {
    private static let name = Array("n.txt".utf8)

    private func make(_ index: Int, on device: Network.Device) throws {
        switch index % 3 {
        case 0: try device.write("n.txt", "bytes \(index / 2)")
        case 1:
            try device.mkdir("n.txt")
            try device.write("n.txt/\(index)", "inside")
        default:
            _ = try device.volume.make(
                Self.name, in: .root,
                MakeRequest(
                    kind: .symlink, mode: 0o777, uid: 0, gid: 0,
                    target: Array("\(index / 6)".utf8)))
        }
    }

    @Test func `fifty devices make one name as file, directory and symlink at once`() throws {
        let network = Network(seed: 50)
        let hub = try network.addDevice("device 0")
        var devices = [hub]
        for index in 1..<50 {
            let device = try network.addDevice("device \(index)")
            devices.append(device)
            network.connect(device, hub)
        }
        network.run(seconds: 5)
        #expect(devices.allSatisfy { $0.volume.isAdmitted })
        network.disconnectAll()
        for (index, device) in devices.enumerated() {
            device.clockSkew = Int64(index % 7) - 3
            try make(index, on: device)
        }
        for device in devices.dropFirst() { network.connect(hub, device) }
        network.run(seconds: 10)

        let names = try hub.names()
        #expect(Set(names).count == names.count)
        #expect(names.contains("n.txt"))
        // One directory of all, with what each put into its own.
        #expect(try hub.names("n.txt").count == 17)
        let digest = hub.volume.status().digest
        for device in devices {
            #expect(device.volume.status().digest == digest, "\(device.name)")
            #expect(try device.names() == names, "\(device.name)")
        }
        // The names are a function of the view: a device that starts anew, or makes its view anew, has them.
        try network.restart(devices[49])
        try devices[31].volume.rebuildView()
        for device in [devices[49], devices[31]] {
            #expect(try device.names() == names)
            #expect(try device.volume.check(scratch: MemoryShareStorage()).problems == [])
        }
        for name in names {
            let found = try hub.volume.lookup(Array(name.utf8), in: .root)
            #expect(try hub.volume.lookup(Array(name.utf8), in: .root) == found)
        }
    }
}
