import Foundation
import Glibc
import Testing

/// One device of a test: its state, its mount point and the commands that a user would give.
final class Device {
    let name: String
    let place: Place
    /// $HOLDFAST_HOME.
    let home: String
    let mountPoint: String
    let port = Machine.freePort()
    /// Of the DHT through which it finds others; nil for one that is told their addresses.
    let bootstrap: String?

    /// - Parameter states: the folder of the place that holds devices' states.
    init(
        _ name: String, in place: Place, bootstrap: String? = nil, states: String = "state"
    ) {
        self.bootstrap = bootstrap
        self.name = name
        self.place = place
        home = "\(place.path)/\(states)/\(name)"
        mountPoint = "\(place.path)/\(name)"
        mkdir("\(place.path)/\(states)", 0o700)
        mkdir(mountPoint, 0o755)
    }

    /// Another number for each run of the machine, where a test has its power fail.
    var boot: Int?

    /// Options as their environment twins, so that `mount` has the same as `create`.
    var environment: [String: String] {
        var environment = ["HOLDFAST_HOME": home, "HOLDFAST_DEVICE_NAME": name]
        if let boot { environment["HOLDFAST_TEST_BOOT"] = "\(boot)" }
        if let bootstrap {
            environment["HOLDFAST_TRANSPORT"] = "hyperswarm"
            environment["HOLDFAST_BOOTSTRAP"] = bootstrap
        } else {
            environment["HOLDFAST_TRANSPORT"] = "direct"
            environment["HOLDFAST_LISTEN"] = "127.0.0.1:\(port)"
        }
        return environment
    }

    // MARK: Commands

    /// Runs one command to its end, whatever that is.
    func holdfast(
        _ arguments: String..., input: String? = nil, extra: [String: String] = [:],
        within limit: Duration = .seconds(30)
    ) throws -> Outcome {
        try place.start(
            [Machine.program] + arguments, extra: environment.merging(extra) { $1 }, input: input
        ).finish(within: limit)
    }

    /// Runs one command that has to succeed.
    private func succeed(_ outcome: Outcome, _ command: String) throws -> Outcome {
        guard outcome.code == 0, !outcome.timedOut else {
            throw SubprocessError(
                description: """
                    holdfast \(command) of \(name) \
                    \(outcome.timedOut ? "took too long" : "ended with \(outcome.code)"): \
                    \(outcome.output)\(outcome.errors)
                    """)
        }
        return outcome
    }

    /// - Returns: the invite link.
    @discardableResult
    func create(_ shareName: String = "things") throws -> String {
        try succeed(holdfast("create", mountPoint, "--name", shareName), "create").lastLine
    }

    func join(_ link: String) throws {
        _ = try succeed(holdfast("join", "-", mountPoint, input: link + "\n"), "join")
    }

    func invite() throws -> String {
        try succeed(holdfast("invite", mountPoint), "invite").lastLine
    }

    func mount() throws {
        // A check of everything may come first after a crash.
        _ = try succeed(holdfast("mount", mountPoint, within: .seconds(60)), "mount")
    }

    func unmount() throws {
        _ = try succeed(holdfast("unmount", mountPoint, within: .seconds(60)), "unmount")
    }

    func pause() throws { _ = try succeed(holdfast("pause", mountPoint), "pause") }
    func resume() throws { _ = try succeed(holdfast("resume", mountPoint), "resume") }

    func check() throws {
        _ = try succeed(holdfast("check", mountPoint, within: .seconds(90)), "check")
    }

    func status() throws -> Status {
        let outcome = try succeed(holdfast("status", mountPoint, "--json"), "status")
        return try JSONDecoder().decode(Status.self, from: Data(outcome.output.utf8))
    }

    // MARK: The daemon

    /// The daemon's process ids: one while mounted.
    var daemons: [pid_t] {
        place.processes.filter { id in
            let path = "/proc/\(id)/environ"
            let environment = FileManager.default.contents(atPath: path) ?? Data()
            return environment.range(of: Data("HOLDFAST_HOME=\(home)\0".utf8)) != nil
        }
    }

    var isMounted: Bool { Machine.mounts(below: place.path).contains(mountPoint) }

    /// What a power cut would do to the program, and to it alone.
    func crash() {
        for daemon in daemons { kill(daemon, SIGKILL) }
        wait(.seconds(10)) { daemons.isEmpty }
    }

    /// What the daemon wrote to its log.
    var log: String {
        let files = FileManager.default.enumerator(atPath: home)?.allObjects ?? []
        return files.compactMap { $0 as? String }.filter { $0.hasSuffix(".log") }.sorted()
            .map { (try? String(contentsOfFile: "\(home)/\($0)", encoding: .utf8)) ?? "" }.joined()
    }

    // MARK: Files

    func path(_ name: String) -> String { "\(mountPoint)/\(name)" }

    func write(_ bytes: [UInt8], to name: String) throws {
        try Files.write(bytes, to: path(name))
    }

    func write(_ text: String, to name: String) throws { try write(Array(text.utf8), to: name) }

    /// The bytes of a file, nil if it is not there.
    func read(_ name: String) -> [UInt8]? { Files.read(path(name)) }

    /// What a listing shows, sorted.
    func names(in folder: String = "") -> [String] {
        ((try? FileManager.default.contentsOfDirectory(atPath: path(folder))) ?? []).sorted()
    }
}

/// What `holdfast status --json` tells, as far as the tests need it.
struct Status: Decodable {
    struct Pending: Decodable {
        var blocks, chunks, bytes: UInt64
    }

    struct Peer: Decodable {
        var device, state, path: String
        var bytesSent, bytesReceived: UInt64
    }

    struct Fork: Decodable {
        var device: String
        var isOwn, isSettled: Bool
    }

    var share, name, device, mountpoint, transport: String
    var forks: [Fork]?
    var paused: Bool
    var peers: [Peer]
    var problems: [String]
    var clock: [String: UInt64]
    var digest: String
    var pending: Pending
    var files, bytes, refused, conflicts: UInt64

    var isIdle: Bool { pending.blocks == 0 && pending.chunks == 0 && pending.bytes == 0 }
}
