internal import Base
internal import Wire

/// How far the meeting at a blind relay has got (`connect.md` 6). The host does the meeting.
struct RelayMeeting: Sendable {
    private enum State { case none, wanted(until: Instant), paired, failed }

    private var state = State.none
    private var path: (remote: NetworkEndpoint, socket: SocketID)?

    /// It may yet come up.
    var isPending: Bool { if case .wanted = state { true } else { false } }
    var isPaired: Bool { if case .paired = state { true } else { false } }
    /// It works or may yet.
    var isAtWork: Bool { isPending || isPaired }

    var deadline: Instant {
        if case .wanted(let until) = state { until } else { .distantFuture }
    }

    func hasTimedOut(now: Instant) -> Bool { now >= deadline }

    /// - Parameter isInitiator: whether this side named the relay.
    mutating func want(
        _ wish: NoisePayload.RelayThrough, isInitiator: Bool, tag: ConnectionTag,
        localStreamID: UInt32, now: Instant, shared: inout ConnectShared
    ) {
        state = .wanted(until: now + ConnectTiming.relayPairing)
        shared.emit(
            .relayWanted(
                tag,
                RelayWish(
                    relayKey: wish.publicKey, token: wish.token, isInitiator: isInitiator,
                    localStreamID: localStreamID)))
    }

    /// What comes from there is no sign of a direct path.
    mutating func reached(at remote: NetworkEndpoint, _ socket: SocketID) {
        if isPending { path = (remote, socket) }
    }

    func isItsPath(_ remote: NetworkEndpoint, _ socket: SocketID) -> Bool {
        path.map { $0.remote == remote && $0.socket == socket } ?? false
    }

    /// - Returns: false if nobody waits for it.
    mutating func paired(at remote: NetworkEndpoint, _ socket: SocketID) -> Bool {
        guard isPending else { return false }
        path = (remote, socket)
        state = .paired
        return true
    }

    /// - Returns: false if it was not pending.
    mutating func fail() -> Bool {
        guard isPending else { return false }
        state = .failed
        return true
    }
}
