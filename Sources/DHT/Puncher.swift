internal import Base
internal import Wire

/// One side's part in punching a hole: its sockets, what it knows of both NATs, and the probes
/// (`connect.md` 4.4 and 4.7). The words that the two sides exchange about it are `Dial`'s and
/// `Incoming`'s.
struct Puncher: Sendable {
    /// New sockets that are tried in the hope of a better mapping.
    private static let reopensMax = 3

    private enum Reopening { case no, running(left: Int), done }

    let tag: ConnectionTag
    let isInitiator: Bool
    /// The first is the one that talks to relays.
    private(set) var sockets: [SocketID]
    private(set) var analysis: PunchAnalysis
    /// Nodes that have not been asked about the current socket.
    private var observers: [NetworkEndpoint] = []
    private var pendingSamples = 0
    private var hasRetriedSampling = false
    private var reopening = Reopening.no

    private(set) var remoteKind: NATKind
    private(set) var targets: [PunchTarget] = []
    private(set) var isRemotePunching = false

    private var schedule: PunchSchedule?
    private var holdsSlot = false
    /// The tries are used up, or it was ended.
    private(set) var isOver = false

    /// - Returns: nil if no socket is to be had.
    init?(
        tag: ConnectionTag, isInitiator: Bool, remoteKind: NATKind, shared: inout ConnectShared
    ) {
        guard let socket = shared.sockets.take(for: tag) else { return nil }
        self.tag = tag
        self.isInitiator = isInitiator
        self.remoteKind = remoteKind
        sockets = [socket]
        analysis = PunchAnalysis(isFirewalled: shared.isFirewalled)
        shared.emit(.openSocket(socket))
        startSampling(&shared)
    }

    var socket: SocketID { sockets.first ?? .client }
    var isPunching: Bool { schedule != nil }
    var deadline: Instant { isOver ? .distantFuture : schedule?.deadline ?? .distantFuture }

    // MARK: Sampling

    private mutating func startSampling(_ shared: inout ConnectShared) {
        observers = shared.sampleNodes
        hasRetriedSampling = false
        pendingSamples = 0
        ask(&shared)
    }

    private mutating func ask(_ shared: inout ConnectShared) {
        while !observers.isEmpty,
            analysis.sampleCount + pendingSamples < PunchAnalysis.samplesWanted
        {
            let observer = observers.removeFirst()
            pendingSamples += 1
            shared.actions.append(
                .request(
                    .sample(tag, socket), DHTRequest(.ping), to: observer, via: socket,
                    retries: 0))
        }
        if pendingSamples == 0, analysis.sampleCount < PunchAnalysis.samplesWanted {
            analysis.end()
        }
    }

    /// The answer to a sampling ping, or nil if there was none.
    mutating func sampled(
        via socket: SocketID, mapped: NetworkEndpoint?, from observer: NetworkEndpoint?,
        shared: inout ConnectShared
    ) {
        guard !isOver, socket == self.socket else { return }
        if let mapped, let observer {
            analysis.add(mapped, from: observer, isFirewalled: shared.isFirewalled)
        }
        pendingSamples -= 1
        if pendingSamples == 0, analysis.sampleCount < PunchAnalysis.samplesWanted {
            if hasRetriedSampling {
                analysis.end()
            } else {
                hasRetriedSampling = true
                ask(&shared)
            }
        }
        goOnReopening(&shared)
    }

    /// Something else that came to the socket tells how it looks from outside.
    mutating func observed(
        mapped: NetworkEndpoint, from observer: NetworkEndpoint, shared: inout ConnectShared
    ) {
        guard !isOver else { return }
        analysis.add(mapped, from: observer, isFirewalled: shared.isFirewalled)
        goOnReopening(&shared)
    }

    // MARK: Analysis

    /// Another mapping would help.
    private var isUnstable: Bool {
        analysis.kind == .unknown || (analysis.kind == .random && remoteKind == .random)
    }

    /// - Parameter reopens: whether new sockets are tried if the analysis ends badly.
    /// - Returns: nil while it is not settled; call again after the next sample.
    mutating func stability(reopens: Bool, shared: inout ConnectShared) -> Bool? {
        switch reopening {
        case .running: return reopens ? nil : (analysis.isSettled ? !isUnstable : nil)
        case .done where isUnstable: return reopens ? analysis.kind.isConsistent : false
        case .no, .done: break
        }
        guard analysis.isSettled else { return nil }
        guard isUnstable, reopens else { return !isUnstable }
        guard !isPunching else { return analysis.kind.isConsistent }
        reopening = .running(left: Self.reopensMax)
        goOnReopening(&shared)
        if case .done = reopening { return analysis.kind.isConsistent }
        return nil
    }

    private mutating func goOnReopening(_ shared: inout ConnectShared) {
        while case .running(let left) = reopening, analysis.isSettled {
            guard isUnstable, left > 0, !isPunching,
                let fresh = shared.sockets.take(for: tag), let old = sockets.popLast()
            else {
                reopening = .done
                return
            }
            reopening = .running(left: left - 1)
            close(old, &shared)
            sockets.append(fresh)
            analysis = PunchAnalysis(isFirewalled: shared.isFirewalled)
            shared.emit(.openSocket(fresh))
            startSampling(&shared)
        }
    }

    mutating func freeze() { analysis.isFrozen = true }

    // MARK: The other side

    /// - Parameter verified: a host at which the other side has just shown to receive.
    mutating func updateRemote(_ payload: HolepunchPayload, verified: NetworkAddress?) {
        let wasVerified = targets.filter(\.isVerified).map(\.endpoint.address)
        targets = (payload.addresses ?? []).filter(\.address.isSingleHost)
            .prefix(HyperDHTLimits.remoteAddressesMax).map {
                PunchTarget(
                    endpoint: $0,
                    isVerified: $0.address == verified || wasVerified.contains($0.address))
            }
        remoteKind = payload.natKind
        isRemotePunching = payload.isPunching
    }

    /// Opens our NAT towards the address, with a packet that dies on the way.
    func openSession(to endpoint: NetworkEndpoint, shared: inout ConnectShared) {
        probe(endpoint, isLowTTL: true, shared: &shared)
    }

    /// One normal probe.
    func ping(_ endpoint: NetworkEndpoint, shared: inout ConnectShared) {
        probe(endpoint, isLowTTL: false, shared: &shared)
    }

    private func probe(
        _ endpoint: NetworkEndpoint, isLowTTL: Bool, shared: inout ConnectShared
    ) {
        guard !isOver, endpoint.port != 0, endpoint.address.isSingleHost else { return }
        shared.actions.append(.probe(to: endpoint, via: socket, isLowTTL: isLowTTL))
    }

    // MARK: Punching

    /// Whether a random NAT takes part, so that a slot is needed.
    var isRandom: Bool { analysis.kind == .random || remoteKind == .random }

    /// Starts; again is the same as once.
    ///
    /// - Returns: whether the two can meet.
    mutating func punch(now: Instant, shared: inout ConnectShared) -> Bool {
        if isPunching { return true }
        guard !isOver,
            let strategy = PunchSchedule.Strategy.choose(
                local: analysis.kind, remote: remoteKind, remotes: targets)
        else { return false }
        if strategy != .consistent {
            shared.slots.take()
            holdsSlot = true
        }
        if case .manySockets(let destination) = strategy {
            openManySockets(towards: destination, shared: &shared)
        }
        schedule = PunchSchedule(strategy, isInitiator: isInitiator, now: now)
        advance(now: now, shared: &shared)
        return true
    }

    private mutating func openManySockets(
        towards destination: NetworkEndpoint, shared: inout ConnectShared
    ) {
        while sockets.count < shared.configuration.limits.birthdaySocketsMax,
            let socket = shared.sockets.take(for: tag)
        {
            sockets.append(socket)
            shared.emit(.openSocket(socket))
            shared.actions.append(.probe(to: destination, via: socket, isLowTTL: true))
        }
    }

    /// Sends what is due, and ends when the tries are used up.
    mutating func advance(now: Instant, shared: inout ConnectShared) {
        guard !isOver, schedule != nil else { return }
        var probes: [PunchSchedule.Probe] = []
        schedule?.fire(
            now: now, targets: targets, socketCount: sockets.count, random: &shared.random,
            into: &probes)
        for probe in probes where sockets.indices.contains(probe.socketIndex) {
            shared.actions.append(
                .probe(
                    to: probe.destination, via: sockets[probe.socketIndex],
                    isLowTTL: probe.isLowTTL))
        }
        if schedule?.isExhausted == true { end(now: now, keeping: nil, shared: &shared) }
    }

    /// The host could not open the socket.
    mutating func lost(_ socket: SocketID, now: Instant, shared: inout ConnectShared) {
        guard let index = sockets.firstIndex(of: socket) else { return }
        if sockets.count == 1 { return end(now: now, keeping: nil, shared: &shared) }
        sockets.remove(at: index)
        shared.sockets.free(socket)
    }

    /// Stops and closes all sockets but one.
    mutating func end(now: Instant, keeping kept: SocketID?, shared: inout ConnectShared) {
        guard !isOver else { return }
        isOver = true
        schedule = nil
        for socket in sockets where socket != kept { close(socket, &shared) }
        sockets = []
        if holdsSlot { shared.slots.free(now: now, hasPunched: true) }
        holdsSlot = false
    }

    private func close(_ socket: SocketID, _ shared: inout ConnectShared) {
        shared.sockets.free(socket)
        shared.emit(.closeSocket(socket))
    }
}
