import CLinux
import Foundation
import Glibc
import Synchronization

/// What the tests find on the machine they run on.
enum Machine {
    /// The program under test: `$HOLDFAST_TEST_PROGRAM`, else the one built beside this test bundle.
    static let program: String = {
        if let named = environment["HOLDFAST_TEST_PROGRAM"] { return named }
        let own = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe"))
        return ((own ?? "") as NSString).deletingLastPathComponent + "/holdfast"
    }()

    static let environment = ProcessInfo.processInfo.environment

    /// Whether to run at the sizes of the promise (10,000 files, 1 GiB) instead of a tenth of them.
    static let isFull = environment["HOLDFAST_TEST_FULL"] == "1"

    /// What random moments and edits follow from; `$HOLDFAST_TEST_SEED` replays a failure.
    static let seed = environment["HOLDFAST_TEST_SEED"].flatMap { UInt64($0) } ?? 20_261_121

    /// By how much a busy machine may be slower than a quiet one.
    static let patience = 5

    static let canMount =
        access("/dev/fuse", R_OK | W_OK) == 0
        && (getuid() == 0 || find("fusermount3") != nil)
    static let isRoot = getuid() == 0

    /// The path of a program, or nil where it is not installed.
    static func find(_ program: String) -> String? {
        (environment["PATH"] ?? "/usr/bin:/bin").split(separator: ":").map { "\($0)/\(program)" }
            .first { access($0, X_OK) == 0 }
    }

    /// Where kernel mounts are at this moment, the youngest last.
    static func mounts(below folder: String) -> [String] {
        let table = (try? String(contentsOfFile: "/proc/self/mountinfo", encoding: .utf8)) ?? ""
        return table.split(separator: "\n").compactMap { line in
            let fields = line.split(separator: " ")
            guard fields.count > 4, fields[4].hasPrefix(folder) else { return nil }
            return String(fields[4])
        }
    }

    private static let lastPort = Mutex(UInt16.random(in: ports))
    private static let ports: ClosedRange<UInt16> = 20_000...32_000

    /// A TCP port of the loopback that nobody listens on, and that the kernel gives to nobody who
    /// dials: while a daemon is down, another one's dialing must not take its port.
    static func freePort() -> UInt16 {
        lastPort.withLock { port in
            repeat {
                port = port < ports.upperBound ? port + 1 : ports.lowerBound
            } while !isFree(port)
            return port
        }
    }

    private static func isFree(_ port: UInt16) -> Bool {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(descriptor) }
        var address = LoopbackSocket.address(port: port)
        let size = socklen_t(MemoryLayout<sockaddr_in>.size)
        return withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, size) == 0
            }
        }
    }
}

/// Waits until `condition` holds, looking every few milliseconds.
///
/// A limit is what a quiet machine needs and to spare; on one that others use, too, things may take
/// `Machine.patience` times as long. Only a failure takes that long.
///
/// - Returns: whether it came to hold in time.
@discardableResult
func wait(
    _ limit: Duration, every pause: Duration = .milliseconds(10),
    until condition: () throws -> Bool
) rethrows -> Bool {
    let end = ContinuousClock.now + limit * Machine.patience
    while true {
        if try condition() { return true }
        if ContinuousClock.now >= end { return false }
        usleep(UInt32(pause / .microseconds(1)))
    }
}
