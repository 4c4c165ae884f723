import Base
@testable import FileTree
import TreeModel
import Testing

@Suite struct ManyDevicesTests {
    @Test func `fifty devices make one name at once`() throws {
        var devices: [Device] = []
        for index in 0..<50 {
            let device = try Device("device \(index)", strangers: index % 4)
            let wall = Device.wall + UInt64(index % 7)
            switch index % 3 {
            case 0: try device.write("n.txt", "bytes \(index / 2)", wall: wall)
            case 1:
                try device.make(.directory, "n.txt", wall: wall)
                try device.write("n.txt/\(index)", "inside", wall: wall)
            default: try device.make(.symlink, "n.txt", target: "\(index / 6)", wall: wall)
            }
            devices.append(device)
        }
        var rng = SeededRandom(seed: 50)
        for other in devices.dropFirst() { try devices[0].pull(from: other, using: &rng) }
        for other in [1, 17, 49] { try devices[other].pull(from: devices[0], using: &rng) }
        let paths = try devices[0].paths()
        #expect(Set(paths).count == paths.count)
        #expect(paths.contains("n.txt/"))
        #expect(paths.filter { $0.hasPrefix("n.txt/") && $0 != "n.txt/" }.count == 17)
        for other in [1, 17, 49] {
            #expect(try devices[other].paths() == paths)
            #expect(devices[other].tree.digest == devices[0].tree.digest)
        }
        let logs = devices[0].logs.sorted { $0.key < $1.key }
            .map { (key: $0.key, blocks: $0.value) }
        let model = try NaiveTree(logs).picture()
        #expect(Picture.differences(try devices[0].picture(), model).isEmpty)
    }
}
