import Base
import Crypto
import FoundationEssentials
import Glibc
import Host
import Share
import Synchronization

@testable import holdfast

/// A console in memory; from any thread.
final class FakeConsole: Console, Sendable {
    private struct State {
        var output = ""
        var errors = ""
        var input: [String] = []
        var currentDirectory = "/"
    }
    private let state = Mutex(State())

    var output: String {
        get { state.withLock { $0.output } }
        set { state.withLock { $0.output = newValue } }
    }
    var errors: String {
        get { state.withLock { $0.errors } }
        set { state.withLock { $0.errors = newValue } }
    }
    var input: [String] {
        get { state.withLock { $0.input } }
        set { state.withLock { $0.input = newValue } }
    }
    var currentDirectory: String {
        get { state.withLock { $0.currentDirectory } }
        set { state.withLock { $0.currentDirectory = newValue } }
    }

    func write(_ text: String) { state.withLock { $0.output += text } }
    func writeError(_ text: String) { state.withLock { $0.errors += text } }
    func readLine(limitBytes: Int) -> String? {
        state.withLock { $0.input.isEmpty ? nil : $0.input.removeFirst() }
    }
}

/// A folder of one test, with everything in it gone afterwards.
final class TemporaryFolder {
    let path: String

    init() {
        var template = Array("/tmp/holdfast-test.XXXXXX".utf8CString)
        mkdtemp(&template)
        path = String(decoding: template.dropLast().map(UInt8.init), as: UTF8.self)
    }

    func make(_ name: String) -> String {
        mkdir("\(path)/\(name)", 0o700)
        return "\(path)/\(name)"
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }
}

/// A share that runs without storage or mount.
final class FakeRunning: RunningShare {
    struct State {
        var requests: [ControlRequest] = []
        var isStopped = false
    }
    let state = Mutex(State())
    let failure: CommandFailure?
    /// What `resolve` was given to read.
    let merged = Mutex<String?>(nil)
    /// One conflict: its versions are in the folder `c` of the mount point.
    let hasConflict = Mutex(true)

    private var conflicts: [ConflictReport] {
        guard hasConflict.withLock({ $0 }) else { return [] }
        func version(
            _ id: String, _ device: String, shown: Bool, path: String?, base: String?
        ) -> ConflictReport.Version {
            ConflictReport.Version(
                id: id, device: device, own: device == "alice", time: "2026-08-01T00:00:00.000Z",
                kind: "file", size: 5, shown: shown, path: path, file: "c/\(device).txt",
                base: base, reason: "writtenLast", words: "it was written last")
        }
        return [
            ConflictReport(
                path: "a.txt", kind: "versions", hidden: false,
                versions: [
                    version("77aa.2.0", "bob", shown: true, path: "a.txt", base: nil),
                    version(
                        "3f9a.4.1", "alice", shown: false, path: "a (conflict).txt",
                        base: "c/base.txt"),
                ])
        ]
    }

    init(failure: CommandFailure? = nil) { self.failure = failure }

    func answer(
        _ request: ControlRequest, _ reply: @escaping @Sendable (ControlResponse) -> Void
    ) {
        state.withLock { $0.requests.append(request) }
        switch request.command {
        case .status, .pause, .resume:
            var status = ShareStatus()
            status.share = "abcd"
            status.name = "demo\u{202e}"
            status.device = "alice"
            status.mountpoint = "/m"
            status.transport = "direct"
            status.digest = "d1"
            status.files = 3
            status.bytes = 1_500_000
            status.clock = ["b": 2, "a": 1]
            status.peers = [
                .init(
                    device: "bob\u{1b}[2J", key: "0123456789abcdef0123", address: "10.0.0.1:1",
                    state: "connected", path: "LAN", bytesSent: 10, bytesReceived: 123_456)
            ]
            status.peers[0].roundTripMilliseconds = 0.344
            reply(ControlResponse(status: status))
        case .invite: reply(ControlResponse(link: "holdfast:word"))
        case .log:
            let entry = LogEntry(
                time: "2026-08-01T00:00:00.000Z", device: "bob", operation: "write",
                path: "a\nb", detail: "5 bytes")
            reply(ControlResponse(log: [entry]))
        case .conflicts: reply(ControlResponse(conflicts: conflicts))
        case .resolve:
            merged.withLock {
                $0 = request.file.flatMap { try? String(contentsOfFile: $0, encoding: .utf8) }
            }
            reply(ControlResponse(conflicts: []))
        case .explain:
            let bob = ExplanationReport.Cause(
                operation: "77aa.2.0", device: "bob", time: "2026-08-01T00:00:00.000Z")
            let head = ExplanationReport.Head(
                version: bob, size: 5, parents: ["3f9a.1.0"], state: "shown", shownName: nil,
                bases: [])
            reply(
                ControlResponse(
                    explanation: ExplanationReport(
                        path: request.path ?? "", kind: "file", made: bob, placed: bob,
                        changed: bob, names: 1, unitedWith: [], rule: "onlyHead",
                        rulesVersion: nil, heads: [head], conflict: nil)))
        case .restore:
            var report = RestoreReport()
            report.files = 2
            if request.version == "gone" { report.missing = ["a\u{1b}b"] }
            reply(ControlResponse(restored: report))
        case .retain:
            reply(ControlResponse(retention: request.retention ?? .standard))
        case .merging: reply(ControlResponse(merging: MergeSetting(rules: request.mergeRules ?? 0)))
        case .revoke, .retire:
            let word = request.command == .revoke ? "revoked" : "retired"
            reply(ControlResponse(lines: ["\(request.device ?? "")\u{1b} is \(word)"]))
        case .check: reply(ControlResponse(lines: ["checked"]))
        case .export: reply(ControlResponse(exported: Self.exported))
        case .unmount: reply(ControlResponse(error: .init(message: "not mine", exitCode: 1)))
        }
    }

    static var exported: ExportReport {
        var report = ExportReport()
        report.logs = [.init(device: "bob", log: "77aa", blocks: 3)]
        report.items = [
            .init(
                path: "late\u{1b}", kind: "file", device: "bob", state: "new", size: 5,
                modified: 1_785_542_400_000, outcome: .written)
        ]
        (report.files, report.bytes) = (1, 5)
        return report
    }

    func stop() { state.withLock { $0.isStopped = true } }

    func wait() throws(CommandFailure) {
        while !state.withLock({ $0.isStopped }) { usleep(1000) }
        if let failure { throw failure }
    }
}

/// Shares in folders of a test; calls are noted.
final class FakeService: ShareService {
    struct State {
        var shares: [KnownShare] = []
        var calls: [String] = []
        var failure: CommandFailure?
        var running = FakeRunning()
    }
    let state = Mutex(State())
    let folder: String

    init(folder: String) { self.folder = folder }

    var calls: [String] { state.withLock { $0.calls } }

    private func note(_ call: String) throws(CommandFailure) {
        let failure = state.withLock { state in
            state.calls.append(call)
            return state.failure
        }
        if let failure { throw failure }
    }

    func add(_ name: String, at mountPoint: String) -> KnownShare {
        mkdir("\(folder)/\(name)", 0o700)
        let share = KnownShare(
            id: "id-\(name)", name: name, mountPoint: mountPoint, folder: "\(folder)/\(name)")
        state.withLock { $0.shares.append(share) }
        return share
    }

    func shares() throws(CommandFailure) -> [KnownShare] { state.withLock { $0.shares } }

    func create(
        name: String, mountPoint: String, options: ServeOptions
    ) throws(CommandFailure) -> KnownShare {
        try note("create \(name) \(mountPoint) \(options.words)")
        return add(name, at: mountPoint)
    }

    func join(
        link: String, mountPoint: String, options: ServeOptions
    ) throws(CommandFailure) -> KnownShare {
        try note("join \(link) \(mountPoint) \(options.words)")
        return add("joined", at: mountPoint)
    }

    func move(_ share: KnownShare, to mountPoint: String) throws(CommandFailure) -> KnownShare {
        try note("move \(share.name) \(mountPoint)")
        var moved = share
        moved.mountPoint = mountPoint
        let share = share
        state.withLock { state in
            for index in state.shares.indices where state.shares[index] == share {
                state.shares[index] = moved
            }
        }
        return moved
    }

    func discard(_ share: KnownShare) {
        state.withLock { state in
            state.calls.append("discard \(share.name)")
            state.shares.removeAll { $0 == share }
        }
    }

    func start(
        _ share: KnownShare, options: ServeOptions, loop: EventLoop, log: Log
    ) throws(CommandFailure) -> any RunningShare {
        try note("start \(share.name)")
        return state.withLock { $0.running }
    }

    func relayKey() throws(CommandFailure) -> KeyPair { KeyPair(seed: .zero) }

    func export(folder: String, to target: String?, of device: String?) throws(CommandFailure)
        -> ExportReport
    {
        try note("export \(folder) \(target ?? "-") \(device ?? "-")")
        return FakeRunning.exported
    }

    func check(folder: String, rebuilds: Bool) throws(CommandFailure) -> [String] {
        try note("check \(folder) \(rebuilds)")
        return ["all \u{1b}well"]
    }
}

/// The program with everything around it faked.
final class Bench {
    let folder = TemporaryFolder()
    let console = FakeConsole()
    let service: FakeService
    var environment: [String: String] = [:]
    var home: String?
    var started: [(words: [String], logFile: String)] = []
    var report = StartReport()
    var surroundings = Surroundings.ofProcess

    init() { service = FakeService(folder: folder.path) }

    @discardableResult
    func run(_ words: String...) -> ExitCode { run(words) }

    @discardableResult
    func run(_ words: [String]) -> ExitCode {
        console.output = ""
        console.errors = ""
        return application.run(words)
    }

    var application: Application {
        Application(
            environment: environment, console: console,
            makeService: { home in
                self.home = home
                return self.service
            },
            startDaemon: { words, logFile throws(HostError) in
                self.started.append((words, logFile))
                return self.report
            }, surroundings: surroundings)
    }
}
