import Simulation
import Testing

/// Whole devices under random programs and faults. A run that fails prints a script that fails too:
/// it belongs into `DeviceScriptTests`.
@Suite struct DeviceRunTests {
    /// More: `Scripts/simulate devices --seeds 10000`.
    /// Known: 1300709, a peer that had a block had not said so yet.
    static let seeds: [UInt64] =
        Array(1...12) + [1_300_709, UInt64.random(in: 1000...UInt64(UInt32.max))]

    @Test(arguments: seeds)
    func `devices keep every promise, whatever fails`(seed: UInt64) {
        let (script, verdict) = DeviceRun.run(seed: seed, DeviceOptions())
        guard let violation = verdict.violations.first else { return }
        let small = DeviceRun.shrink(script, breaking: violation.promise, runsMax: 200)
        Issue.record("seed \(seed): \(violation.promise): \(violation.detail)\n\(small.source)")
    }

    /// The last of the known ones: a checkpoint was overdue, and blocks of the other history waited for ever.
    @Test(arguments: [5, 26, 27, 52, 1_900_139_139, UInt64.random(in: 1000...UInt64(UInt32.max))])
    func `clones lose nothing, and members that differ say so`(seed: UInt64) {
        var options = DeviceOptions()
        options.faults = [.clone]
        let (script, verdict) = DeviceRun.run(seed: seed, options)
        for violation in verdict.violations {
            Issue.record(
                "seed \(seed): \(violation.promise): \(violation.detail)\n\(script.source)")
        }
    }

    /// Known: 103, a log that was held back was let in by the invite that its device once had.
    @Test(arguments: [103, UInt64.random(in: 1000...UInt64(UInt32.max))])
    func `clones that sleep and lose connections do so too`(seed: UInt64) {
        print("seed \(seed)")
        var options = DeviceOptions()
        options.faults = [.clone, .sleep, .offline, .cut]
        let (script, verdict) = DeviceRun.run(seed: seed, options)
        for violation in verdict.violations {
            Issue.record(
                "seed \(seed): \(violation.promise): \(violation.detail)\n\(script.source)")
        }
    }

    /// Known: 9, a device went back twice, and members had blocks of a log begun in between; 43, the only member was asked
    /// again and again for what it had given back; 140, a log that was held back was let in by an old invite; 331, a slow
    /// member was asked in every turn where two histories part; 485, blocks that a device got back counted for ever as
    /// blocks that no other has; 34, what a device saw under a clock that meant other blocks counted as a disagreement.
    @Test(arguments: [1, 2, 9, 34, 43, 140, 331, 485] as [UInt64])
    func `devices that go back to a copy of their folder come to agree`(seed: UInt64) {
        print("seed \(seed)")
        var options = DeviceOptions()
        options.faults = [.backup, .sleep]
        let (script, verdict) = DeviceRun.run(seed: seed, options)
        for violation in verdict.violations {
            Issue.record(
                "seed \(seed): \(violation.promise): \(violation.detail)\n\(script.source)")
        }
    }

    @Test func `a seed replays byte for byte`() {
        let first = DeviceRun.run(seed: 5, DeviceOptions())
        let second = DeviceRun.run(seed: 5, DeviceOptions())
        #expect(first.0 == second.0)
        #expect(first.1.trace == second.1.trace)
        #expect(first.1 == second.1)
        #expect(first.1.trace != DeviceRun.run(seed: 6, DeviceOptions()).1.trace)
    }
}
