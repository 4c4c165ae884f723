import Base
@testable import FileTree
import Testing
import TreeModel

/// A checkpoint and later operations are what all operations are, wherever the cut.
@Suite struct CheckpointTests {
    @Test(arguments: 0..<40)
    func `a cut anywhere leads to the same view`(_ round: Int) throws {
        let seed = UInt64(round)
        var history = RandomHistory(seed: seed, odd: round % 2 == 1)
        let count = 2 + round % 3
        var devices: [Device] = []
        for index in 0..<count {
            let device = try Device("device \(index)", strangers: index * 2)
            device.wallSkew = Int64(history.below(100)) - 50
            devices.append(device)
        }
        var late: [Device] = []
        for step in 0..<80 {
            let device = devices[history.below(count)]
            try history.step(on: device)
            if history.below(6) == 0 {
                let other = devices[history.below(count)]
                if other !== device {
                    let limit = history.below(3) == 0 ? history.below(4) : Int.max
                    try device.pull(from: other, limit: limit, using: &history.rng)
                }
            }
            guard history.below(10) == 0 else { continue }
            try device.seal()
            let newcomer = try Device("newcomer \(step)", strangers: history.below(5))
            newcomer.heldRowsMax = [1, 7, Limits.heldRowsMax][history.below(3)]
            try newcomer.start(from: device)
            #expect(newcomer.tree.digest == device.tree.digest, "seed \(seed) step \(step)")
            #expect(newcomer.tree.totals == device.tree.totals, "seed \(seed) step \(step)")
            #expect(newcomer.tree.clock.elements.count == device.tree.clock.elements.count)
            #expect(try newcomer.checkpoint() == device.checkpoint(), "seed \(seed) step \(step)")
            late.append(newcomer)
            // Some of them go on to be where others start, and write themselves.
            if history.below(3) == 0, devices.count < 6 { devices.append(newcomer) }
        }
        let all = devices + late.filter { one in !devices.contains { $0 === one } }
        try converge(all, seed: seed)
        let logs = all[0].logs.sorted { $0.key < $1.key }.map { (key: $0.key, blocks: $0.value) }
        let model = try NaiveTree(logs).picture()
        for device in all {
            let differences = Picture.differences(try device.picture(), model)
            #expect(differences.isEmpty, "seed \(seed): \(differences.joined(separator: "\n"))")
            #expect(device.tree.digest == all[0].tree.digest, "seed \(seed)")
            #expect(try device.checkpoint() == all[0].checkpoint(), "seed \(seed)")
        }
    }

    /// Three directories moved into each other by three writers: every cut of the ring.
    @Test func `a cut within a ring of moves`() throws {
        for cut in 0..<8 {
            let base = try Device("base")
            var directories: [ObjectID] = []
            for name in ["a", "b", "c"] {
                let make = Operation.Make(
                    kind: .directory, mode: 0o755, uid: 0, gid: 0, created: .epoch)
                let object = try #require(try base.author(.make(make), wall: 1))
                try base.author(
                    .place(.init(.new(object), in: .root, named: Array(name.utf8))), wall: 1)
                directories.append(object)
            }
            var rng = SeededRandom(seed: UInt64(cut))
            let movers = try (0..<3).map { try Device("mover \($0)", strangers: $0) }
            for (index, mover) in movers.enumerated() {
                try mover.pull(from: base, using: &rng)
                let moved = try #require(
                    try mover.tree.lookup(Array(["a", "b", "c"][index].utf8), in: .root))
                let target = try #require(
                    try mover.tree.lookup(Array(["b", "c", "a"][index].utf8), in: .root))
                mover.wallSkew = Int64(10 - index)
                try mover.author(
                    .place(
                        .init(
                            .existing(moved.entry!, from: .root), in: target.object,
                            named: Array("in".utf8))), wall: 100)
            }
            let witness = try Device("witness")
            for index in 0..<3 where cut & 1 << index != 0 {
                try witness.pull(from: movers[index], using: &rng)
            }
            if cut == 0 { try witness.pull(from: base, using: &rng) }
            let newcomer = try Device("newcomer", strangers: 4)
            try newcomer.start(from: witness)
            for mover in movers {
                try newcomer.pull(from: mover, using: &rng)
                try witness.pull(from: mover, using: &rng)
            }
            #expect(newcomer.tree.digest == witness.tree.digest, "cut \(cut)")
            #expect(try newcomer.checkpoint() == witness.checkpoint(), "cut \(cut)")
        }
    }

    /// Whoever signs a checkpoint may write what they like into it: it is their fault, not storage's, and the
    /// history is read instead.
    @Test func `directories in a ring are malformed`() throws {
        let device = try Device("device 0")
        var parent = ObjectID.root
        for name in ["outer", "a", "b"] {
            let make = Operation.Make(
                kind: .directory, mode: 0o755, uid: 0, gid: 0, created: .epoch)
            let object = try #require(try device.author(.make(make), wall: 1))
            try device.author(
                .place(.init(.new(object), in: parent, named: Array(name.utf8))), wall: 1)
            if name == "outer" { parent = object }
        }
        let good = try device.checkpoint()
        var rings = 0
        for place in good.indices {
            for value: UInt8 in 1..<8 where value != good[place] {
                var bad = good
                bad[place] = value
                let tree = try FileTree(storage: MemoryTreeStorage(), writers: WriterTable())
                var reader = CheckpointReader(tree: tree)
                do throws(CheckpointError) {
                    try reader.feed(bad)
                    _ = try reader.finish(device.tree.digest)
                } catch {
                    switch error {
                    case .malformed(let what):
                        if what == "directories in a ring" { rings += 1 }
                    case .otherView: break
                    case .storage: Issue.record("byte \(place) as \(value): \(error)")
                    }
                }
            }
        }
        #expect(rings > 0)
    }

    @Test func `moves whose undoing leads into a ring are malformed`() throws {
        let device = try Device("device 0")
        var directories: [ObjectID] = []
        for name in ["a", "b"] {
            let make = Operation.Make(
                kind: .directory, mode: 0o755, uid: 0, gid: 0, created: .epoch)
            let object = try #require(try device.author(.make(make), wall: 1))
            try device.author(
                .place(.init(.new(object), in: .root, named: Array(name.utf8))), wall: 1)
            directories.append(object)
        }
        for (index, name) in ["a", "b"].enumerated() {
            let entry = try #require(
                try device.tree.lookup(Array(name.utf8), in: .root)?.entry)
            try device.author(
                .place(.init(.existing(entry, from: .root), in: .root, named: [99, UInt8(index)])),
                wall: 2 + UInt64(index))
        }
        try device.seal()
        func take() throws {
            let tree = try FileTree(storage: MemoryTreeStorage(), writers: WriterTable())
            var reader = CheckpointReader(tree: tree)
            try reader.feed(try device.checkpoint())
            _ = try reader.finish(device.tree.digest)
        }
        try take()
        // Before these moves each is said to have been in the other.
        for (move, other) in zip(try device.storage.moves(from: .zero), directories.reversed()) {
            var wrong = move
            wrong.previous?.parent = other
            try device.storage.put(wrong)
        }
        #expect(throws: CheckpointError.malformed("moves that cannot have been")) { try take() }
    }

    /// Whoever signed the checkpoint chose both: the one times the other could keep a new device busy for hours.
    @Test func `moves of deep directories cost no look-ups for their depth`() throws {
        let device = try Device("device 0")
        var chain = [ObjectID.root]
        for _ in 0..<400 {
            let make = Operation.Make(
                kind: .directory, mode: 0o755, uid: 0, gid: 0, created: .epoch)
            let object = try #require(try device.author(.make(make), wall: 1))
            try device.author(.place(.init(.new(object), in: chain.last!, named: [97])), wall: 1)
            chain.append(object)
        }
        let moved = chain.removeLast()
        let entry = try #require(try device.tree.node(moved)?.entry)
        for number in 0..<400 {
            let (from, to) = (chain[399 - number % 2], chain[398 + number % 2])
            try device.author(
                .place(.init(.existing(entry, from: from), in: to, named: [97])), wall: 2)
        }
        try device.seal()
        let newcomer = try Device("newcomer")
        let before = newcomer.storage.looks
        try newcomer.start(from: device)
        let looks = newcomer.storage.looks - before
        #expect(newcomer.tree.digest == device.tree.digest)
        #expect(try newcomer.storage.moves(from: .zero).count >= 400)
        #expect(looks < 20 * (400 + 400), "\(looks)")
    }

    @Test func `a damaged checkpoint is refused, whatever the damage`() throws {
        var history = RandomHistory(seed: 5, odd: true)
        let device = try Device("device 0")
        let other = try Device("device 1")
        for _ in 0..<60 {
            try history.step(on: device)
            try history.step(on: other)
        }
        try device.pull(from: other, using: &history.rng)
        let good = try device.checkpoint()
        let digest = device.tree.digest
        func take(_ bytes: [UInt8]) throws(CheckpointError) -> Bytes32 {
            do {
                let tree = try FileTree(storage: MemoryTreeStorage(), writers: WriterTable())
                var reader = CheckpointReader(tree: tree)
                for start in stride(from: 0, to: bytes.count, by: 100) {
                    try reader.feed(Array(bytes[start..<min(start + 100, bytes.count)]))
                }
                _ = try reader.finish(digest)
                return tree.digest
            } catch let error as CheckpointError {
                throw error
            } catch {
                throw .malformed("\(error)")
            }
        }
        #expect(try take(good) == digest)
        for length in stride(from: 0, to: good.count, by: 31) {
            #expect(throws: CheckpointError.self) { try take(Array(good.prefix(length))) }
        }
        #expect(throws: CheckpointError.self) { try take(good + [0]) }
        var refused = 0
        for place in stride(from: 0, to: good.count, by: 7) {
            var bad = good
            bad[place] ^= 1 << UInt8(history.below(8))
            // What is not visible may change unseen by the digest; the bytes' own hash has to guard
            // that. What is taken is the promised view, and nothing crashes.
            do throws(CheckpointError) {
                #expect(try take(bad) == digest)
            } catch {
                refused += 1
            }
        }
        #expect(refused > 100)
    }
}

extension Device {
    /// The bytes of a checkpoint of what this device has.
    func checkpoint(settled: Clock = Clock(), _ time: HybridTime = .zero) throws -> [UInt8] {
        try seal()
        var bytes: [UInt8] = []
        var writer = try tree.beginCheckpoint(
            settled: SettledHistory(clock: settled, newestTime: time), states: states, values: [])
        defer { writer.end() }
        while try writer.write(objects: 7, { bytes += $0 }) != .done {}
        return bytes
    }
}

/// What a checkpoint leaves out can be missed by nobody who has seen what is settled.
@Suite struct SettledHistoryTests {
    /// What every device has referenced, as one of them knows it.
    private func settled(_ devices: [Device], at one: Device) -> (Clock, HybridTime) {
        var clock = Clock()
        var time = HybridTime.zero
        for element in one.tree.clock.elements {
            let key = one.writers.key(of: element.writer)
            let seen = devices.map { one.references(of: $0.key, to: key) }.min() ?? 0
            clock[element.writer] = min(seen, element.count)
        }
        for element in clock.elements {
            time = max(time, one.time(of: element.writer, block: element.count - 1))
        }
        return (clock, time)
    }

    @Test(arguments: 0..<60)
    func `a cut anywhere leads to the same view without what is settled`(_ round: Int) throws {
        let seed = UInt64(round) + 1000
        // Nothing merges, or texts do, and saves have any versions as their parents.
        var history = RandomHistory(seed: seed, odd: false, merges: round % 2 == 1)
        let count = 2 + round % 3
        var devices: [Device] = []
        for index in 0..<count {
            let device = try Device(
                "device \(index)", strangers: index * 2, settlesAfter: 0)
            device.wallSkew = Int64(history.below(100)) - 50
            devices.append(device)
        }
        var late: [Device] = []
        var forgotten = 0
        for step in 0..<120 {
            let device = devices[history.below(devices.count)]
            try history.step(on: device)
            if history.below(4) == 0 {
                let other = devices[history.below(devices.count)]
                if other !== device { try device.pull(from: other, using: &history.rng) }
            }
            guard history.below(10) == 0 else { continue }
            for one in devices { try one.seal() }
            let (clock, time) = settled(devices, at: device)
            let whole = try device.checkpoint()
            let bytes = try device.checkpoint(settled: clock, time)
            forgotten += whole.count - bytes.count
            let newcomer = try Device(
                "newcomer \(step)", strangers: history.below(5), settlesAfter: 0)
            try newcomer.start(from: device, bytes)
            try newcomer.answerQuestions()
            #expect(newcomer.tree.digest == device.tree.digest, "seed \(seed) step \(step)")
            #expect(newcomer.tree.totals == device.tree.totals, "seed \(seed) step \(step)")
            if history.below(3) == 0, devices.count < 6 {
                // It counts from its first block on, which has seen what it started from.
                try history.step(on: newcomer)
                try newcomer.seal()
                for one in devices { try one.pull(from: newcomer, using: &history.rng) }
                devices.append(newcomer)
            } else {
                late.append(newcomer)
            }
        }
        let all = devices + late
        try converge(all, seed: seed)
        let logs = all[0].logs.sorted { $0.key < $1.key }.map { (key: $0.key, blocks: $0.value) }
        let model = try NaiveTree(logs, settlesAfter: 0).picture()
        for device in all {
            let differences = Picture.differences(try device.picture(), model)
            #expect(differences.isEmpty, "seed \(seed): \(differences.joined(separator: "\n"))")
            #expect(device.tree.digest == all[0].tree.digest, "seed \(seed)")
        }
    }

    @Test(arguments: 0..<30)
    func `who lets go of what is settled shows what all others show`(_ round: Int) throws {
        let seed = UInt64(round) + 3000
        var history = RandomHistory(seed: seed, odd: false, merges: round % 2 == 1)
        let count = 2 + round % 3
        var devices: [Device] = []
        for index in 0..<count {
            let device = try Device(
                "device \(index)", strangers: index * 2, settlesAfter: 0)
            device.wallSkew = Int64(history.below(100)) - 50
            devices.append(device)
        }
        var before = 0
        var after = 0
        for _ in 0..<150 {
            let device = devices[history.below(count)]
            try history.step(on: device)
            if history.below(3) == 0 {
                let other = devices[history.below(count)]
                if other !== device { try device.pull(from: other, using: &history.rng) }
            }
            guard history.below(12) == 0 else { continue }
            for one in devices { try one.seal() }
            let (clock, time) = settled(devices, at: device)
            before += device.storage.rows.rowCounts.reduce(0, +)
            var sweep = try device.tree.beginSweep(
                of: SettledHistory(clock: clock, newestTime: time), keeping: [])
            // Much happens before it is done, and now and then it is not even ended.
            let breaksOff = history.below(4) == 0 ? history.below(6) : Int.max
            var steps = 0
            while steps < breaksOff, try sweep.step(rows: 1 + history.below(9)) {
                steps += 1
                let (digest, totals) = (device.tree.digest, device.tree.totals)
                if history.below(2) == 0 {
                    try history.step(on: device)
                    try device.seal()
                } else if history.below(3) == 0 {
                    let other = devices[history.below(count)]
                    if other !== device { try device.pull(from: other, using: &history.rng) }
                } else {
                    #expect(device.tree.digest == digest && device.tree.totals == totals)
                }
                if history.below(20) == 0 {
                    sweep.end()
                    try device.reopen()
                    break
                }
            }
            sweep.end()
            after += device.storage.rows.rowCounts.reduce(0, +)
        }
        try converge(devices, seed: seed)
        let logs = devices[0].logs.sorted { $0.key < $1.key }
            .map { (key: $0.key, blocks: $0.value) }
        let model = try NaiveTree(logs, settlesAfter: 0).picture()
        for device in devices {
            let differences = Picture.differences(try device.picture(), model)
            #expect(differences.isEmpty, "seed \(seed): \(differences.joined(separator: "\n"))")
            #expect(device.tree.digest == devices[0].tree.digest, "seed \(seed)")
        }
        // When all is settled everywhere, nothing is left but what a checkpoint has.
        let one = devices[0]
        let (clock, time) = settled(devices, at: one)
        var sweep = try one.tree.beginSweep(
            of: SettledHistory(clock: clock, newestTime: time), keeping: [])
        while try sweep.step(rows: 50) {}
        sweep.end()
        let rest = try one.checkpoint()
        let bytes = try one.checkpoint(settled: clock, time)
        #expect(rest.count == bytes.count, "seed \(seed)")
        let newcomer = try Device("newcomer", settlesAfter: 0)
        try newcomer.start(from: one, bytes)
        #expect(newcomer.storage.rows.rowCounts == one.storage.rows.rowCounts, "seed \(seed)")
        #expect(newcomer.tree.digest == one.tree.digest, "seed \(seed)")
    }

    @Test func `a checkpoint holds its moment while the view goes on`() throws {
        for seed in 0..<20 as Range<UInt64> {
            var history = RandomHistory(seed: seed + 2000, odd: true)
            let device = try Device("device")
            for _ in 0..<60 { try history.step(on: device) }
            let expected = try device.checkpoint()
            let digest = device.tree.digest
            var bytes: [UInt8] = []
            var writer = try device.tree.beginCheckpoint(
                settled: .none, states: device.states, values: [])
            while try writer.write(objects: 1, { bytes += $0 }) != .done {
                try history.step(on: device)
            }
            writer.end()
            #expect(bytes == expected, "seed \(seed)")
            #expect(writer.digest == digest)
            #expect(device.tree.digest != digest)
        }
    }
}
