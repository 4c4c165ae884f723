import Base
import Testing

@testable import Share

/// Whole devices under random calls and partitions, from a seed.
@Suite struct SimulationTests {
    @Test(arguments: 1...12 as ClosedRange<UInt64>)
    func `devices converge, and the view is what the logs say`(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        let network = Network(seed: seed)
        let count = Int.random(in: 2...4, using: &random)
        var devices = [try network.addDevice("device0")]
        for index in 1..<count {
            let device = try network.addDevice("device\(index)")
            device.clockSkew = Int64.random(in: -86400...86400, using: &random)
            network.connect(device, devices[0])
            network.run(seconds: 2)
            devices.append(device)
        }
        for round in 0..<30 {
            if Int.random(in: 0..<4, using: &random) == 0 { network.disconnectAll() }
            if Int.random(in: 0..<3, using: &random) == 0 {
                let first = Int.random(in: 0..<count, using: &random)
                let second = Int.random(in: 0..<count, using: &random)
                if first != second { network.connect(devices[first], devices[second]) }
            }
            if Int.random(in: 0..<10, using: &random) == 0 {
                network.disconnectAll()
                try network.restart(devices[Int.random(in: 0..<count, using: &random)])
            }
            for step in 0..<Int.random(in: 1...6, using: &random) {
                let device = devices[Int.random(in: 0..<count, using: &random)]
                act(on: device, "\(round).\(step)", &random)
            }
            network.run(seconds: Double.random(in: 0...1, using: &random))
        }
        network.disconnectAll()
        for first in 0..<count {
            for second in 0..<first { network.connect(devices[first], devices[second]) }
        }
        network.run(seconds: 30)
        let statuses = devices.map { $0.volume.status() }
        #expect(
            Set(statuses.map(\.digest)).count == 1,
            "seed \(seed): \(statuses.map(\.clock)) \(network.log)")
        #expect(statuses.allSatisfy { $0.pending.blocks == 0 }, "seed \(seed)")
        #expect(statuses.allSatisfy { $0.refused == 0 }, "seed \(seed)")
        let listings = try devices.map { try tree(of: $0) }
        #expect(Set(listings).count == 1, "seed \(seed)")
        for device in devices {
            let report = try device.volume.check(scratch: MemoryShareStorage())
            #expect(report.problems.isEmpty, "seed \(seed)")
        }
    }

    /// One random call; those that make no sense at this moment are refused and change nothing.
    private func act(
        on device: Network.Device, _ text: String, _ random: inout SeededRandom
    ) {
        let names = ["a", "b", "c", "d/a", "d/b", "d", "e", "d/e", "e/a", "e/d"]
        let path = names[Int.random(in: 0..<names.count, using: &random)]
        let other = names[Int.random(in: 0..<names.count, using: &random)]
        switch Int.random(in: 0..<10, using: &random) {
        case 0, 1, 2, 3: try? device.write(path, text)
        case 4: try? device.mkdir(path)
        case 5, 6: try? device.rename(path, other)
        case 7: try? device.unlink(path)
        case 8: try? device.rmdir(path)
        default:
            try? device.write(".tmp", text)
            try? device.rename(".tmp", path)
        }
    }

    /// Everything visible, as text.
    private func tree(of device: Network.Device, _ path: String = "") throws -> String {
        var lines: [String] = []
        for item in try device.volume.list(try device.directory(path)) {
            let below = path + "/" + String(decoding: item.name, as: UTF8.self)
            switch item.kind {
            case .directory: lines.append("\(below)/\n" + (try tree(of: device, below)))
            default: lines.append("\(below) = \(try device.text(below) ?? "?")")
            }
        }
        return lines.joined(separator: "\n")
    }
}
