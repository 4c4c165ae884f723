import Base
import FileTree
import TreeModel
import Foundation
import Testing

/// Random histories of a few devices, against a model that knows nothing of increments.
@Suite struct ConvergenceTests {
    /// More rounds: `HOLDFAST_ROUNDS=5000 swift test --filter ConvergenceTests`.
    static let rounds = ProcessInfo.processInfo.environment["HOLDFAST_ROUNDS"].flatMap { Int($0) }

    @Test(arguments: 0..<(rounds ?? 24))
    func `any order of arrival gives what the model gives`(_ round: Int) throws {
        try check(seed: UInt64(round), deviceCount: 2 + round % 3, steps: 60, odd: round % 2 == 1)
    }

    @Test(arguments: 0..<(rounds ?? 24))
    func `merged texts too`(_ round: Int) throws {
        try check(
            seed: 0x6d65_7267_0000 + UInt64(round), deviceCount: 2 + round % 3, steps: 80,
            odd: false, merges: true)
    }

    private func check(
        seed: UInt64, deviceCount: Int, steps: Int, odd: Bool, merges: Bool = false
    ) throws {
        var history = RandomHistory(seed: seed, odd: odd, merges: merges)
        var devices: [Device] = []
        for index in 0..<deviceCount {
            let device = try Device("device \(index)", strangers: index * 3)
            device.wallSkew = Int64(history.below(100)) - 50
            device.heldRowsMax = [3, 20, Limits.heldRowsMax][history.below(3)]
            devices.append(device)
        }
        if merges {
            try devices[0].allowMerging()
            try devices[0].write("n.txt", (0..<6).map { "line \($0) of it\n" }.joined())
            try converge(devices)
        }
        for step in 0..<steps {
            let device = devices[history.below(deviceCount)]
            try history.step(on: device)
            guard history.below(6) == 0 else { continue }
            let other = devices[history.below(deviceCount)]
            guard other !== device else { continue }
            let limit = history.below(3) == 0 ? history.below(4) : Int.max
            try device.pull(from: other, limit: limit, using: &history.rng)
            if history.below(8) == 0 { try device.reopen() }
            try compare(device, "seed \(seed) step \(step)")
        }
        try converge(devices, seed: seed)
        for device in devices {
            try compare(device, "seed \(seed) at the end")
            #expect(device.tree.digest == devices[0].tree.digest, "seed \(seed)")
            #expect(device.tree.totals == devices[0].tree.totals, "seed \(seed)")
        }
    }

    /// - Returns: whether the device shows what the model makes of its blocks.
    private func compare(_ device: Device, _ comment: String) throws {
        try device.seal()
        let logs = device.logs.sorted { $0.key < $1.key }.map { (key: $0.key, blocks: $0.value) }
        let model = try NaiveTree(logs).picture()
        let shown = try device.picture()
        let differences = Picture.differences(shown, model)
        #expect(differences.isEmpty, "\(comment): \(differences.joined(separator: "\n"))")
        let conflicts = UInt64(shown.conflicts.count)
        #expect(device.tree.totals.conflicts >= conflicts, "\(comment)")
    }
}
