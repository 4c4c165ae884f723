internal import Base
internal import Share

/// What came of a run.
package struct DeviceVerdict: Equatable, Sendable {
    package var violations: [Violation]
    /// Steps of programs taken, and faults among the steps.
    package var operations: Int
    package var faults: Int
    /// Blocks in all logs, and files shown, at the end.
    package var saves: Int
    /// Devices that began with a checkpoint.
    package var starts: Int
    /// How often a device gave back what came before a checkpoint.
    package var compactions: Int
    /// Of every byte sent: equal for equal runs.
    package var trace: UInt64
    /// The last lines of what devices and the network said.
    package var log: [String]
}

/// Runs scripts.
package enum DeviceRun {
    /// Runs a script to its end, or to the first violation, and settles.
    package static func run(_ script: DeviceScript) -> DeviceVerdict {
        let world = DeviceWorld(seed: script.seed, isAlternating: script.isAlternating)
        defer { for device in world.devices { device.close() } }
        for _ in 0..<max(1, script.devices) { world.addDevice() }
        var operations = 0
        var faults = 0
        for step in script.steps + [.settle] {
            world.write("step \(step.source)")
            world.take(step)
            if step.isFault { faults += 1 } else { operations += 1 }
            guard world.violations.isEmpty else { break }
        }
        if world.violations.isEmpty { world.settleWithNewcomer() }
        return DeviceVerdict(
            violations: world.violations, operations: operations, faults: faults,
            saves: world.book.saves.count,
            starts: world.devices.count { device in
                let status = device.volume?.status()
                return status?.start.map { $0.device != status?.device } ?? false
            }, compactions: world.compactions, trace: world.trace,
            log: world.log)
    }

    /// Runs what a seed gives.
    package static func run(seed: UInt64, _ options: DeviceOptions) -> (DeviceScript, DeviceVerdict)
    {
        let script = DeviceProgram.script(seed: seed, options)
        return (script, run(script))
    }

    /// Leaves out whatever a failure does not need.
    ///
    /// - Parameter runsMax: a bound on the work.
    /// - Returns: a script that breaks the same promise.
    package static func shrink(
        _ script: DeviceScript, breaking promise: Violation.Promise, runsMax: Int = 600
    ) -> DeviceScript {
        var shrinker = Shrinker(script, promise, runsLeft: runsMax)
        return shrinker.run()
    }
}

/// Makes a failing script smaller: fewer steps, fewer devices, plainer steps (after Zeller and
/// Hildebrandt 2002, "ddmin").
private struct Shrinker {
    private var best: DeviceScript
    private let promise: Violation.Promise
    private var runsLeft: Int
    /// Of how many other seeds each smaller script is tried: without a step all that comes after it happens at
    /// other moments.
    private var otherSeeds: UInt64 = 0

    init(_ script: DeviceScript, _ promise: Violation.Promise, runsLeft: Int) {
        best = script
        self.promise = promise
        self.runsLeft = runsLeft
    }

    mutating func run() -> DeviceScript {
        var before: DeviceScript
        repeat {
            before = best
            dropSteps()
            dropDevices()
            simplify()
            if best == before, otherSeeds < 4 {
                otherSeeds += 2
                before.seed &+= 1
            }
        } while best != before && runsLeft > 0
        return best
    }

    private mutating func attempt(_ script: DeviceScript) -> Bool {
        guard runsLeft > 0, script != best, !script.isAlternating || script.keepsToOneDevice
        else { return false }
        for other in 0...otherSeeds where runsLeft > 0 {
            var script = script
            script.seed &+= other
            runsLeft -= 1
            if DeviceRun.run(script).violations.contains(where: { $0.promise == promise }) {
                best = script
                return true
            }
        }
        return false
    }

    private mutating func dropSteps() {
        var size = max(1, best.steps.count / 2)
        while true {
            var start = 0
            while start < best.steps.count {
                var candidate = best
                candidate.steps.removeSubrange(start..<min(start + size, best.steps.count))
                if !attempt(candidate) { start += size }
            }
            guard size > 1 else { return }
            size /= 2
        }
    }

    private mutating func dropDevices() {
        // Who is alone never hears that others have what it wrote.
        let least = promise == .progress || promise == .fork ? 2 : 1
        while best.devices > least {
            var candidate = best
            candidate.devices -= 1
            guard attempt(candidate) else { return }
        }
    }

    private mutating func simplify() {
        for index in best.steps.indices {
            for plainer in Self.plainer(best.steps[index]) {
                var candidate = best
                candidate.steps[index] = plainer
                if attempt(candidate) { break }
            }
        }
    }

    private static func plainer(_ step: DeviceStep) -> [DeviceStep] {
        switch step {
        case .write(let device, let path, let style) where style != .inPlace:
            [.write(device, path, .inPlace)]
        case .writeSlowly(let device, let path, _): [.write(device, path, .renameOver)]
        case .run(let milliseconds) where milliseconds > 100: [.run(milliseconds: 100)]
        case .stop(let device, let stop, let operations) where operations > 0:
            [.stop(device, stop, afterOperations: 0)]
        case .writeBinary(let device, let path, let kilobytes) where kilobytes > 1:
            [.writeBinary(device, path, kilobytes: 1)]
        case .sleep(let hours) where hours > 1: [.sleep(hours: 1)]
        default: []
        }
    }
}
