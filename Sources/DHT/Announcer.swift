internal import Base
internal import Crypto
internal import Wire

/// What the announcer's requests are for.
enum AnnouncerRequest: Sendable {
    case ping(run: Int)
    /// ANNOUNCE at the node.
    case announce(NetworkEndpoint, run: Int)
    /// FIND_PEER, for a token to unannounce with.
    case token(NetworkEndpoint)
    case unannounce
}

/// Keeps a server announced at the three nodes closest to its key's hash, and the NAT mappings
/// towards them open (`connect.md` 3).
struct Announcer: Sendable {
    /// Nodes announced at.
    private static let relaysWanted = 3

    private enum Phase {
        case stopped
        /// The node is suspended.
        case paused
        case searching
        /// ANNOUNCE requests that are out.
        case announcing(pending: Int)
        case pinging(round: Int, pending: Int, answered: Int)
        case resting(round: Int, until: Instant)
        /// No node took the announcement.
        case failed(until: Instant)
    }

    private let keyPair: KeyPair
    private let target: Bytes32
    private var phase = Phase.stopped
    /// Counts phases, so that a late answer is not taken for one of the current phase.
    private var run = 0
    /// Nodes announced at: in this run, the last and the one before.
    private var generations: [[NetworkEndpoint]] = [[], [], []]
    private var closest: [NetworkEndpoint] = []
    private var isRefreshWanted = false
    private var retryPause = ConnectTiming.updateRetry
    /// Of the run that is under way.
    private var freshRelays: [RelayPath] = []
    /// Where clients may shake hands with us, and as whom these nodes see us.
    private(set) var relays: [RelayPath] = []
    /// At most three, to be told to others.
    private(set) var relayAddresses: [NetworkEndpoint] = []

    init(keyPair: KeyPair, target: Bytes32) {
        self.keyPair = keyPair
        self.target = target
    }

    /// Whether we announced ourselves there in one of the last three runs.
    func isRelay(_ node: NetworkEndpoint) -> Bool {
        generations.contains { $0.contains(node) }
    }

    var knownRelays: Set<NetworkEndpoint> { Set(generations.joined()) }

    var deadline: Instant {
        switch phase {
        case .resting(_, let until), .failed(let until): until
        case .stopped, .paused, .searching, .announcing, .pinging: .distantFuture
        }
    }

    // MARK: Life

    mutating func start(shared: inout ConnectShared) {
        guard case .stopped = phase else { return }
        update(shared: &shared)
    }

    /// Takes the announcement back.
    mutating func stop(shared: inout ConnectShared) {
        if case .stopped = phase { return }
        if case .searching = phase { shared.actions.append(.cancelQuery(.announcer)) }
        phase = .stopped
        for node in generations[0] { askForToken(node, shared: &shared) }
        relays = []
        relayAddresses = []
    }

    /// Our address is not what it was: announce anew when what is under way is over, and the next
    /// ping would be due. It may change often.
    mutating func refresh() { isRefreshWanted = true }

    /// The network is another: announce anew at once.
    mutating func restart(shared: inout ConnectShared) {
        if case .stopped = phase { return }
        if case .searching = phase { shared.actions.append(.cancelQuery(.announcer)) }
        // Nobody reaches us as they saw us before.
        relays = []
        relayAddresses = []
        update(shared: &shared)
    }

    /// Until `restart`. Nodes keep the announcement.
    mutating func pause() {
        if case .stopped = phase { return }
        phase = .paused
    }

    /// Nodes answer again: no need to wait any longer if none did.
    mutating func nodesAnswer(shared: inout ConnectShared) {
        if case .failed = phase { update(shared: &shared) }
    }

    mutating func advance(now: Instant, shared: inout ConnectShared) {
        switch phase {
        case .resting(let round, let until) where now >= until:
            if round >= ConnectTiming.relayPingsPerUpdate || isRefreshWanted {
                update(shared: &shared)
            } else {
                ping(round: round, now: now, shared: &shared)
            }
        case .failed(let until) where now >= until: update(shared: &shared)
        default: break
        }
    }

    // MARK: Update

    private mutating func update(shared: inout ConnectShared) {
        isRefreshWanted = false
        generations.removeLast()
        generations.insert([], at: 0)
        freshRelays = []
        phase = .searching
        shared.actions.append(.findPeer(.announcer, target: target, startNodes: closest))
    }

    /// - Parameter replies: the nearest first.
    mutating func searchEnded(
        closest replies: [DHTReply], now: Instant, shared: inout ConnectShared
    ) {
        guard case .searching = phase else { return }
        closest = replies.map(\.from)
        var pending = 0
        for reply in replies where pending < Self.relaysWanted {
            guard let id = reply.id, let token = reply.token else { continue }
            pending += 1
            if pending == 1 { run += 1 }
            let message = AnnounceMessage.signed(
                .announce, by: keyPair, target: target, node: id, token: token)
            shared.actions.append(
                .request(
                    .announcer(.announce(reply.from, run: run)),
                    DHTRequest(.announce, target: target, value: message.encoded(), token: token),
                    to: reply.from))
        }
        phase = .announcing(pending: pending)
        if pending == 0 { updateEnded(now: now, shared: &shared) }
    }

    private mutating func updateEnded(now: Instant, shared: inout ConnectShared) {
        relays = freshRelays
        relayAddresses = Array(
            ((shared.remoteAddress.map { [$0] } ?? []) + freshRelays.map(\.relay))
                .prefix(Self.relaysWanted))
        shared.emit(.listening(relayAddresses))
        for node in generations[1] where !generations[0].contains(node) {
            askForToken(node, shared: &shared)
        }
        if relays.isEmpty {
            phase = .failed(until: now + retryPause)
            retryPause = min(retryPause * 2, .seconds(60))
        } else {
            retryPause = ConnectTiming.updateRetry
            ping(round: 0, now: now, shared: &shared)
        }
    }

    private mutating func askForToken(_ node: NetworkEndpoint, shared: inout ConnectShared) {
        shared.actions.append(
            .request(.announcer(.token(node)), DHTRequest(.findPeer, target: target), to: node))
    }

    // MARK: Keeping mappings open

    private mutating func ping(round: Int, now: Instant, shared: inout ConnectShared) {
        let nodes = generations[0]
        run += 1
        phase = .pinging(round: round, pending: nodes.count, answered: 0)
        for node in nodes {
            shared.actions.append(
                .request(.announcer(.ping(run: run)), DHTRequest(.ping), to: node))
        }
    }

    // MARK: Answers

    /// - Parameter reply: nil if none came.
    mutating func answered(
        _ request: AnnouncerRequest, reply: DHTReply?, now: Instant, shared: inout ConnectShared
    ) {
        switch request {
        case .announce(let node, let run):
            guard case .announcing(let pending) = phase, run == self.run else { return }
            if let reply, reply.error == 0 {
                freshRelays.append(RelayPath(relay: node, server: reply.to))
                generations[0].append(node)
            }
            phase = .announcing(pending: pending - 1)
            if pending == 1 { updateEnded(now: now, shared: &shared) }
        case .ping(let run):
            guard case .pinging(let round, let pending, let answered) = phase, run == self.run
            else { return }
            let answeredNow = answered + (reply == nil ? 0 : 1)
            guard pending == 1 else {
                phase = .pinging(round: round, pending: pending - 1, answered: answeredNow)
                return
            }
            if isRefreshWanted || answeredNow < min(generations[0].count, Self.relaysWanted) {
                update(shared: &shared)
            } else {
                phase = .resting(round: round + 1, until: now + ConnectTiming.relayPing)
            }
        case .token(let node):
            guard let reply, let token = reply.token, let id = reply.id, reply.value != nil else {
                return
            }
            let message = AnnounceMessage.signed(
                .unannounce, by: keyPair, target: target, node: id, token: token)
            shared.actions.append(
                .request(
                    .announcer(.unannounce),
                    DHTRequest(
                        .unannounce, target: target, value: message.encoded(), token: token),
                    to: node))
        case .unannounce: break
        }
    }
}
