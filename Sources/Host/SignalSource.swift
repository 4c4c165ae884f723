import CLinux
import Glibc

/// SIGTERM and SIGINT as a call on the event loop; SIGPIPE and, for a daemon, SIGHUP ignored.
package final class SignalSource: EventSource, @unchecked Sendable {
    private let loop: EventLoop
    private let descriptor: Descriptor
    private let stop: @Sendable () -> Void
    private var token: UInt64?

    /// Makes this process deaf to the signals that are read from a descriptor later. Call it first
    /// of all on the main thread: threads made after it inherit what is blocked.
    package static func prepare(isDaemon: Bool) {
        holdfast_ignore_signal(SIGPIPE)
        if isDaemon { holdfast_ignore_signal(SIGHUP) }
        // Two valid signals and no old set asked for: cannot fail.
        var signals = stopSignals
        unsafe _ = pthread_sigmask(SIG_BLOCK, &signals, nil)
    }

    /// Begins to listen.
    ///
    /// - Parameter stop: called on the loop with each SIGTERM or SIGINT; must not block.
    package init(loop: EventLoop, stop: @escaping @Sendable () -> Void) throws(HostError) {
        var signals = Self.stopSignals
        let flags = Int32(SFD_CLOEXEC | SFD_NONBLOCK)
        // The kernel copies the set.
        descriptor = try Descriptor(
            unsafe signalfd(-1, &signals, flags), "listening for signals")
        self.loop = loop
        self.stop = stop
        loop.submit { [self] in
            token = try? loop.watch(descriptor.number, for: .readable, self)
        }
    }

    func ready(_ events: Readiness) {
        var record = signalfd_siginfo()
        let size = MemoryLayout<signalfd_siginfo>.size
        // One whole record into a local.
        while unsafe read(descriptor.number, &record, size) == size { stop() }
    }

    private static var stopSignals: sigset_t {
        var signals = sigset_t()
        // A local set and valid numbers: cannot fail.
        unsafe _ = sigemptyset(&signals)
        unsafe _ = sigaddset(&signals, SIGTERM)
        unsafe _ = sigaddset(&signals, SIGINT)
        return signals
    }
}
