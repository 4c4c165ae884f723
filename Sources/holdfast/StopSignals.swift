import Host

/// How a command that runs until it is told to stop hears of that; the tests have their own way.
struct StopSignals {
    /// Called first of all, before there are other threads.
    var prepare: () -> Void
    /// Calls back, on the loop, with each SIGTERM or SIGINT.
    var listen: (EventLoop, _ stop: @escaping @Sendable () -> Void) throws(HostError) -> Void

    static var ofProcess: StopSignals {
        StopSignals(
            prepare: { SignalSource.prepare(isDaemon: false) },
            listen: { loop, stop throws(HostError) in _ = try SignalSource(loop: loop, stop: stop) }
        )
    }
}
