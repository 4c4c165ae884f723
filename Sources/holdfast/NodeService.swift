import Base
import Crypto
import DHT
import Host

/// A DHT node in the foreground: on its loop, with someone on the command's thread who prints what
/// it says until a signal ends it.
final class NodeService {
    enum Note: Sendable {
        case event(DHTEvent)
        /// A second has gone by.
        case tick
        case stop
    }

    /// Calls something every second, on the loop.
    private final class Seconds: LoopMember {
        private let body: () -> Void
        private var due: Instant

        init(_ body: @escaping () -> Void) {
            self.body = body
            due = monotonicNow() + .seconds(1)
        }

        func run(now: Instant) -> Instant {
            guard now >= due else { return due }
            due = now + .seconds(1)
            body()
            return due
        }
    }

    let host: DHTHost
    private let loop: EventLoop
    private let mailbox = Mailbox<Note>()
    private let address: String
    private let relayKey: String?

    private static let countsInterval = 60

    /// - Parameter relayKey: under which the node works as a blind relay; nil if it is none.
    init(
        _ options: NodeOptions, relayKey: KeyPair?, signals: StopSignals
    ) throws(CommandFailure) {
        signals.prepare()
        let loop = try hosted { () throws(HostError) in
            let loop = try EventLoop()
            try loop.start()
            return loop
        }
        self.loop = loop
        do throws(CommandFailure) {
            let mailbox = mailbox
            host = try hosted { () throws(HostError) in
                try DHTHost(loop: loop, options: options.node(relayKey: relayKey)) {
                    mailbox.post(.event($0))
                }
            }
            try hosted { () throws(HostError) in
                try signals.listen(loop) { mailbox.post(.stop) }
            }
            address = "\(options.address):\(host.facts.serverPort)"
            self.relayKey = relayKey?.publicKey.hex
            loop.submit {
                loop.add(Seconds { mailbox.post(.tick) })
            }
        } catch {
            loop.stop()
            throw error
        }
    }

    /// Runs until a signal comes.
    ///
    /// - Parameters:
    ///   - say: called with each report.
    ///   - also: called with each note, after that.
    func run(
        say: (NodeReport) throws(CommandFailure) -> Void,
        also: (Note) throws(CommandFailure) -> Void = { _ in }
    ) throws(CommandFailure) {
        defer {
            host.close()
            loop.stop()
        }
        try say(report(.listening))
        var seconds = 0
        var last: NodeReport?
        while true {
            let note = mailbox.next()
            switch note {
            case .event(.ready):
                last = report(.ready)
                if let last { try say(last) }
            case .event(.addressChanged), .event(.becamePersistent), .event(.becameEphemeral):
                let now = report(.changed)
                // Before it is ready, all is new; and not every event changes what is shown.
                guard let before = last, !now.stands(as: before) else { break }
                last = now
                try say(now)
            case .event: break
            case .tick:
                seconds += 1
                if seconds.isMultiple(of: Self.countsInterval) { try say(report(.counts)) }
            case .stop: return try say(report(.stopped))
            }
            try also(note)
        }
    }

    private func report(_ event: NodeReport.Event) -> NodeReport {
        NodeReport(event, address: address, relayKey: relayKey, host.facts)
    }
}
