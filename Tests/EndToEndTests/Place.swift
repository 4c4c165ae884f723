import Foundation
import Glibc
import Synchronization
import Testing

/// One test's folder: what it starts and mounts is below and ends with it.
final class Place: Sendable {
    let path: String
    /// When the test has to be over.
    private let deadline: ContinuousClock.Instant
    private let state = Mutex(State())

    private struct State {
        var isOver = false
        var hasExpired = false
    }

    private static let count = Mutex(0)

    /// Runs one test in a folder of its own and clears up after it, however it ends.
    ///
    /// When `limit` has passed, the daemons are killed and the mounts aborted, so that whatever hangs in
    /// the kernel comes back with an error and the test fails instead of hanging.
    ///
    /// - Parameter mayLeave: whether processes and mounts may still be there at the end; else the
    ///   test fails if it leaves any.
    static func use(
        _ limit: Duration, mayLeave: Bool = true, sourceLocation: SourceLocation = #_sourceLocation,
        _ body: (Place) throws -> Void
    ) throws {
        let place = Place(limit)
        var failure: (any Error)?
        do { try body(place) } catch { failure = error }
        let hasExpired = place.state.withLock { state in
            state.isOver = true
            return state.hasExpired
        }
        if failure != nil || hasExpired { place.showLogs() }
        let left = Janitor.clear(place.path)
        if hasExpired {
            Issue.record(
                "took longer than \(limit * Machine.patience) and was cut off",
                sourceLocation: sourceLocation)
        } else if !mayLeave, failure == nil {
            #expect(left.isEmpty, "left behind: \(left)", sourceLocation: sourceLocation)
        }
        if let failure { throw failure }
    }

    private init(_ limit: Duration) {
        let number = Self.count.withLock { count in
            count += 1
            return count
        }
        path = "\(Janitor.root)/\(number)"
        deadline = .now + limit * Machine.patience
        mkdir(path, 0o755)
        mkdir(path + "/output", 0o755)
        let watch = Thread { [self] in expire() }
        watch.start()
    }

    /// On its own thread: waits for the deadline or for the end of the test.
    private func expire() {
        while ContinuousClock.now < deadline {
            usleep(100_000)
            if state.withLock({ $0.isOver }) { return }
        }
        let isLate = state.withLock { state in
            if !state.isOver { state.hasExpired = true }
            return state.hasExpired
        }
        guard isLate else { return }
        showLogs()
        _ = Janitor.clear(path)
    }

    /// The last lines of every daemon's log, for whoever reads the failure.
    private func showLogs() {
        for log in logs {
            let text = (try? String(contentsOfFile: log, encoding: .utf8)) ?? ""
            let lines = text.split(separator: "\n").suffix(15).joined(separator: "\n  ")
            if !lines.isEmpty { print("  \(log):\n  \(lines)") }
        }
    }

    private var logs: [String] {
        let names = FileManager.default.enumerator(atPath: path + "/state")?.allObjects ?? []
        return names.compactMap { $0 as? String }.filter { $0.hasSuffix(".log") }
            .map { "\(path)/state/\($0)" }.sorted()
    }

    // MARK: Programs

    /// The environment of everything the test starts.
    var environment: [String: String] {
        [
            "PATH": Machine.environment["PATH"] ?? "/usr/bin:/bin",
            "HOME": path, "LANG": "C.UTF-8", "TERM": "dumb",
            // No packet leaves this machine.
            "HOLDFAST_BOOTSTRAP": "127.0.0.1:1",
            "SWIFT_BACKTRACE": "enable=no",
            Janitor.mark: path + "/",
        ]
    }

    func start(
        _ arguments: [String], extra: [String: String] = [:], input: String? = nil,
        in directory: String? = nil
    ) throws -> Subprocess {
        try Subprocess(
            arguments, environment: environment.merging(extra) { $1 }, input: input,
            directory: directory, scratch: path + "/output")
    }

    /// Runs one shell script to its end, which has to be a good one.
    ///
    /// - Returns: what it wrote.
    @discardableResult
    func shell(
        _ script: String, in directory: String? = nil, within limit: Duration = .seconds(60),
        sourceLocation: SourceLocation = #_sourceLocation
    ) throws -> String {
        let outcome = try start(["/bin/sh", "-euc", script], in: directory).finish(within: limit)
        guard outcome.code == 0, !outcome.timedOut else {
            throw SubprocessError(
                description: """
                    shell script \(outcome.timedOut ? "took too long" : "ended with \(outcome.code)")
                    \(script)
                    \(outcome.output.suffix(2000))\(outcome.errors.suffix(2000))
                    """)
        }
        return outcome.output
    }

    /// The processes that the test started and that still run, daemons included.
    var processes: [pid_t] {
        let folders = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
        let mark = Data("\(Janitor.mark)=\(path)/\0".utf8)
        return folders.compactMap { pid_t($0) }.filter { id in
            guard let environment = FileManager.default.contents(atPath: "/proc/\(id)/environ")
            else { return false }
            return environment.range(of: mark) != nil
        }
    }
}
