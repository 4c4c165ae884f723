import Glibc
import Synchronization
import Testing

@testable import FuseMount

@Suite(.enabled(if: canMount), .serialized)
struct SessionTests {
    private final class Count: Sendable {
        let value = Mutex(0)
    }

    /// The thread that reads requests may be held up itself, again and again.
    @Test
    func `calls that are held up in the share leave a thread to the others`() throws {
        let mount = try TestMount()
        defer { mount.end() }
        let held = (0..<30).map { mount.at("held\($0)") }
        for path in held { try check(close(check(open(path, O_RDWR | O_CREAT, 0o644)))) }
        let gate = Latch()
        defer { gate.open() }
        mount.volume.state.withLock { $0.gate = gate }
        let (begun, ended) = (Count(), Count())
        for path in held {
            try startThread(name: "held") {
                begun.value.withLock { $0 += 1 }
                if setxattr(path, "user.one", [1], 1, 0) == 0 { ended.value.withLock { $0 += 1 } }
            }
        }
        mount.eventually("all call") { begun.value.withLock { $0 } == held.count }
        #expect(try names(mount.path).count == held.count)
        let file = try check(open(mount.at("new"), O_RDWR | O_CREAT, 0o644))
        try writeAll(file, randomBytes(300_000, seed: 1))
        try check(fsync(file))
        try check(close(file))
        #expect(ended.value.withLock { $0 } == 0)
        gate.open()
        mount.eventually("all are answered") { ended.value.withLock { $0 } == held.count }
    }
}
