import Host
import Synchronization

/// One mounted share in this process, with its event loop, its control socket and its signals.
final class ShareServer: Sendable {
    private typealias Reply = @Sendable (ControlResponse) -> Void

    private let running: any RunningShare
    private let loop: EventLoop
    private let control: ControlServer
    private let log: Log
    /// Those who asked for the end, and are told when it has come.
    private let stopReplies: StopReplies

    private final class StopReplies: Sendable {
        let list = Mutex<[Reply]>([])
    }

    /// Mounts the share; it is usable, and answers on its control socket, when this returns.
    init(
        _ share: KnownShare, _ options: ServeOptions, service: any ShareService, log: Log
    ) throws(CommandFailure) {
        let loop = try hosted { () throws(HostError) in try EventLoop() }
        try hosted { () throws(HostError) in try loop.start() }
        let replies = StopReplies()
        do throws(CommandFailure) {
            let running = try service.start(share, options: options, loop: loop, log: log)
            do throws(CommandFailure) {
                control = try Self.control(share, running, loop, log, replies)
            } catch {
                running.stop()
                try? running.wait()
                throw error
            }
            self.running = running
        } catch {
            loop.stop()
            throw error
        }
        self.loop = loop
        self.log = log
        stopReplies = replies
        control.start()
        log.write("mounted at \(share.mountPoint)")
    }

    /// Waits until the share has ended, by a signal, a request or the kernel, and everything of it
    /// is on disk.
    func wait() throws(CommandFailure) {
        defer { loop.stop() }
        do throws(CommandFailure) {
            try running.wait()
        } catch {
            end(with: ControlResponse(error: error.asControlFailure))
            throw error
        }
        end(with: ControlResponse())
        log.write("stopped")
    }

    private func end(with response: ControlResponse) {
        for reply in stopReplies.list.withLock({ $0 }) { reply(response) }
        control.stop()
    }

    private static func control(
        _ share: KnownShare, _ running: any RunningShare, _ loop: EventLoop, _ log: Log,
        _ replies: StopReplies
    ) throws(CommandFailure) -> ControlServer {
        try hosted { () throws(HostError) in
            _ = try SignalSource(loop: loop) { running.stop() }
            return try ControlServer(loop: loop, folder: share.folder, log: log) {
                request, reply in
                guard request.command == .unmount else { return running.answer(request, reply) }
                replies.list.withLock { $0.append(reply) }
                running.stop()
            }
        }
    }
}
