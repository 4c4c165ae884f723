internal import Base

/// `simulate devices`: what it understands, and what it prints.
package enum DeviceCommand {
    package static let usage = """
        usage: simulate devices [OPTIONS]

        Whole devices of one share in one process: the product's code for logs, views and peers, on
        disks that crash and a network that fails, from a seed. Each run ends with all devices
        meeting, and with the checkers: equal digests, the same tree as the naive model has, every
        thing in one place, no bytes lost, none back from the dead, no false conflict, and all that
        was synced there after crashes. A run that fails is made smaller and printed as source.

        options:
          --seed S          the first seed (1)
          --seeds N         how many runs, each with the next seed (1)
          --devices N       members at the beginning (2 to 5, by the seed)
          --hours H         virtual hours to spread over a run (a few weeks at most, by the seed)
          --faults LIST     of stop,offline,partition,cut,pause,clock,disk,join,sleep,clone,
                            backup,end; or none, or all (default: all but clone, backup
                            and end)
          --shrink N        runs that may go into making a failing one smaller (600)
          --verbose yes     the last lines of what a failing run said

        """

    package enum Parsed: Equatable, Sendable {
        case run(DeviceOptions, shrinks: Int, isVerbose: Bool)
        case wrong(String)
    }

    package static func parse(_ arguments: some Sequence<String>) -> Parsed {
        var options = DeviceOptions()
        var shrinks = 600
        var isVerbose = false
        var rest = Array(arguments)[...]
        while let name = rest.popFirst() {
            guard let value = rest.popFirst() else { return .wrong("\(name) needs a value") }
            func number(_ range: ClosedRange<Int>) -> Int? {
                Int(value).flatMap { range.contains($0) ? $0 : nil }
            }
            switch name {
            case "--seed":
                guard let seed = UInt64(value) else { return .wrong("--seed takes a number") }
                options.seed = seed
            case "--seeds":
                guard let count = number(1...100_000_000) else {
                    return .wrong("--seeds takes a number from 1")
                }
                options.seeds = count
            case "--devices":
                guard let count = number(2...7) else {
                    return .wrong("--devices takes 2 to 7")
                }
                options.devices = count
            case "--hours":
                guard let hours = number(1...100_000) else {
                    return .wrong("--hours takes a number from 1")
                }
                options.hours = hours
            case "--faults":
                guard let faults = self.faults(value) else {
                    return .wrong("--faults does not know all of \(value)")
                }
                options.faults = faults
            case "--shrink":
                guard let count = number(0...1_000_000) else {
                    return .wrong("--shrink takes a number")
                }
                shrinks = count
            case "--verbose": isVerbose = value == "yes"
            default: return .wrong("unknown option \(name)")
            }
        }
        return .run(options, shrinks: shrinks, isVerbose: isVerbose)
    }

    private static func faults(_ list: String) -> Set<DeviceOptions.Fault>? {
        if list == "none" { return [] }
        if list == "all" { return Set(DeviceOptions.Fault.allCases) }
        let words = list.split(separator: ",").map { String($0) }
        let faults = words.compactMap { DeviceOptions.Fault(rawValue: $0) }
        return faults.count == words.count ? Set(faults) : nil
    }

    /// Runs the seeds.
    ///
    /// - Returns: the exit status: 1 if a promise was broken.
    package static func run(
        _ options: DeviceOptions, shrinks: Int, isVerbose: Bool, write: (String) -> Void
    ) -> Int32 {
        var sums = (
            operations: 0, faults: 0, saves: 0, starts: 0, compactions: 0, failures: 0
        )
        let faults = DeviceOptions.Fault.allCases.filter { options.faults.contains($0) }
        write("faults: \(faults.map(\.rawValue).joined(separator: ","))\n")
        for index in 0..<options.seeds {
            let seed = options.seed &+ UInt64(index)
            let (script, verdict) = DeviceRun.run(seed: seed, options)
            sums.operations += verdict.operations
            sums.faults += verdict.faults
            sums.saves += verdict.saves
            sums.starts += verdict.starts
            sums.compactions += verdict.compactions
            if let first = verdict.violations.first {
                sums.failures += 1
                write(failure(script, verdict, first, shrinks: shrinks, isVerbose: isVerbose))
            } else if options.seeds == 1 {
                write(
                    "seed \(seed): \(script.devices) devices, \(verdict.operations) steps of programs,"
                        + " \(verdict.faults) faults, \(verdict.saves) saves, trace"
                        + " \(String(verdict.trace, radix: 16)): all promises kept\n")
            }
            if (index + 1) % 500 == 0, index + 1 < options.seeds {
                write("\(index + 1) seeds: \(text(sums))\n")
            }
        }
        write(
            "seeds \(options.seed) to \(options.seed &+ UInt64(options.seeds - 1)): \(text(sums))\n"
        )
        return sums.failures == 0 ? 0 : 1
    }

    private static func text(
        _ sums: (
            operations: Int, faults: Int, saves: Int, starts: Int, compactions: Int, failures: Int
        )
    ) -> String {
        "\(sums.operations) steps of programs, \(sums.saves) saves, \(sums.faults) faults,"
            + " \(sums.starts) starts from checkpoints, \(sums.compactions) times history was given"
            + " back, \(sums.failures) runs failed"
    }

    private static func failure(
        _ script: DeviceScript, _ verdict: DeviceVerdict, _ violation: Violation, shrinks: Int,
        isVerbose: Bool
    ) -> String {
        var text = "seed \(script.seed) fails: \(violation.promise): \(violation.detail)\n"
        guard shrinks > 0 else { return text }
        let small = DeviceRun.shrink(script, breaking: violation.promise, runsMax: shrinks)
        let again = DeviceRun.run(small)
        for violation in again.violations.prefix(3) {
            text += "  \(violation.promise): \(violation.detail)\n"
        }
        if isVerbose { text += again.log.suffix(120).map { "    \($0)\n" }.joined() }
        return text + small.source
    }
}
