import Base
import FileTree
import Testing
import TreeModel

/// A checkpoint at any clock, and the blocks after it, are all blocks: also where no device ever stood.
@Suite struct CheckpointCutTests {
    /// More: `HOLDFAST_ROUNDS=500 swift test --filter CheckpointCutTests`.
    @Test(arguments: 0..<(ConvergenceTests.rounds ?? 6))
    func `any closed cut of a history leads to the same view`(_ round: Int) throws {
        var rings = 0
        for seed in 0..<4 {
            rings += try check(seed: UInt64(4 * round + seed), isSettled: false)
        }
        #expect(rings > 0, "no cut went through a ring of moves")
    }

    @Test(arguments: 0..<(ConvergenceTests.rounds ?? 6))
    func `any closed cut leads there without what is settled`(_ round: Int) throws {
        var rings = 0
        for seed in 0..<4 {
            rings += try check(seed: UInt64(4 * round + seed) + 5_000_000, isSettled: true)
        }
        #expect(rings > 0, "no cut went through a ring of moves")
    }

    /// - Returns: how many moves the cuts had that have an effect before the cut or after it, and not both.
    private func check(seed: UInt64, isSettled: Bool) throws -> Int {
        var history = RandomHistory(
            seed: seed, odd: !isSettled && seed % 3 == 0, merges: seed % 3 == 1)
        let settlesAfter = isSettled ? 0 : Limits.settlesAfterMilliseconds
        let all = try grow(&history, settlesAfter: settlesAfter)
        let blocks = try BlockGraph(of: all)
        let logs = all.logs.sorted { $0.key < $1.key }.map { (key: $0.key, blocks: $0.value) }
        let model = try NaiveTree(logs, settlesAfter: settlesAfter).picture()
        var rings = 0
        for number in 0..<5 {
            let cut = blocks.closedCut(using: &history.rng)
            let comment = Comment(rawValue: "seed \(seed), settled \(isSettled), cut \(number)")
            let witness = try Device(
                "witness", strangers: history.below(5), settlesAfter: settlesAfter)
            try witness.pull(from: all, upTo: cut, using: &history.rng)
            #expect(witness.logs.values.map(\.count).reduce(0, +) == cut.values.reduce(0, +))
            let bytes = try checkpoint(of: witness, isSettled ? blocks.settled(at: cut) : [:])
            let newcomer = try Device(
                "newcomer", strangers: history.below(5), settlesAfter: settlesAfter)
            newcomer.heldRowsMax = [1, 7, Limits.heldRowsMax][history.below(3)]
            try newcomer.start(from: witness, bytes)
            try newcomer.answerQuestions()
            #expect(newcomer.tree.digest == witness.tree.digest, comment)
            #expect(newcomer.tree.totals == witness.tree.totals, comment)
            rings += try differences(witness, all)
            for device in [newcomer, witness] {
                try device.pull(from: all, using: &history.rng)
                #expect(device.tree.digest == all.tree.digest, comment)
                #expect(device.tree.totals == all.tree.totals, comment)
                let found = Picture.differences(try device.picture(), model)
                #expect(found.isEmpty, "\(comment): \(found.joined(separator: "\n"))")
                if !isSettled { #expect(try device.checkpoint() == all.checkpoint(), comment) }
            }
        }
        return rings
    }

    /// Three people who seldom meet, with directories for them to move; then one who has it all.
    private func grow(_ history: inout RandomHistory, settlesAfter: UInt64) throws -> Device {
        var devices: [Device] = []
        for index in 0..<3 {
            let device = try Device(
                "device \(index)", strangers: index * 2, settlesAfter: settlesAfter)
            device.wallSkew = Int64(history.below(100)) - 50
            devices.append(device)
        }
        for name in ["a", "b", "d", "e", "a/b"] { try devices[0].make(.directory, name) }
        try converge(devices)
        for _ in 0..<60 {
            let device = devices[history.below(3)]
            if history.below(2) == 0 {
                try history.moveDirectory(on: device)
            } else {
                try history.step(on: device)
            }
            guard history.below(9) == 0 else { continue }
            let other = devices[history.below(3)]
            let limit = history.below(2) == 0 ? history.below(4) : Int.max
            if other !== device {
                try device.pull(from: other, limit: limit, using: &history.rng)
            }
        }
        let all = try Device("all", strangers: 1, settlesAfter: settlesAfter)
        for device in devices { try all.pull(from: device, using: &history.rng) }
        return all
    }

    private func checkpoint(of device: Device, _ settled: [Bytes32: Int]) throws -> [UInt8] {
        var clock = Clock()
        var time = HybridTime.zero
        for (key, count) in settled where count > 0 {
            guard let slot = device.writers.slot(of: key) else { continue }
            clock[slot] = UInt64(count)
            time = max(time, device.time(of: slot, block: UInt64(count) - 1))
        }
        return try device.checkpoint(settled: clock, time)
    }

    /// How many moves have an effect in one view and none in the other.
    private func differences(_ one: Device, _ other: Device) throws -> Int {
        func effects(_ device: Device) throws -> [String: Bool] {
            var effects: [String: Bool] = [:]
            for move in try device.storage.moves(from: .zero) {
                let log = device.writers.key(of: move.id.writer)
                effects["\(log) \(move.id.block) \(move.id.index)"] = move.previous != nil
            }
            return effects
        }
        let later = try effects(other)
        return try effects(one).count { later[$0.key] != $0.value }
    }
}

/// What each block of some logs had seen.
private struct BlockGraph {
    /// By log and number: how many blocks of each log; its own among them, up to itself.
    private var seen: [Bytes32: [[Bytes32: Int]]] = [:]
    private let keys: [Bytes32]

    init(of device: Device) throws {
        keys = device.logs.keys.sorted().filter { !device.logs[$0]!.isEmpty }
        for key in keys {
            var codec = BlockCodec(writer: device.writers.slot(of: key)!)
            seen[key] = try device.logs[key]!.map { bytes in
                let block = try codec.decode(bytes.span, writers: device.writers)
                return Dictionary(
                    uniqueKeysWithValues: block.clock.elements.map {
                        (device.writers.key(of: $0.writer), Int($0.count))
                    })
            }
        }
    }

    /// Some of the blocks, with all that each of them had seen.
    func closedCut(using rng: inout SeededRandom) -> [Bytes32: Int] {
        var cut: [Bytes32: Int] = [:]
        for key in keys { cut[key] = Int.random(in: 0...seen[key]!.count, using: &rng) }
        if Bool.random(using: &rng) {
            // Those too that they had seen.
            for (key, count) in cut where count > 0 {
                cut.merge(seen[key]![count - 1]) { max($0, $1) }
            }
            return cut
        }
        var isClosed = false
        while !isClosed {
            isClosed = true
            for key in keys {
                while let count = cut[key], count > 0,
                    seen[key]![count - 1].contains(where: { cut[$0.key] ?? 0 < $0.value })
                {
                    cut[key] = count - 1
                    isClosed = false
                }
            }
        }
        return cut
    }

    /// What every block outside a cut has seen of it.
    func settled(at cut: [Bytes32: Int]) -> [Bytes32: Int] {
        var settled = cut
        for key in keys where cut[key]! < seen[key]!.count {
            let next = seen[key]![cut[key]!]
            for other in keys { settled[other] = min(settled[other]!, next[other] ?? 0) }
        }
        return settled
    }
}
