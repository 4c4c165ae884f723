internal import Base
internal import Wire

/// Where a client's hole punch stands (`connect.md` 4.5).
enum PunchStep: Sendable {
    /// The probe round's question is out.
    case probing(isRepeat: Bool)
    /// The server does not know its NAT yet; our open NAT may let it through meanwhile.
    case pausing(until: Instant, ProbeAnswer)
    /// Our own NAT is not known yet.
    case analysing(ProbeAnswer)
    /// No slot for a random punch: the server is told so.
    case telling
    case delaying(until: Instant)
    /// The punch round's question is out.
    case asking
    /// Probes fly.
    case punching
}

struct ProbeAnswer: Sendable {
    var token: Bytes32?
    /// The server's punch socket as its relay sees it.
    var serverAddress: NetworkEndpoint
    var isRepeat: Bool
}

/// What a client keeps of its talk with the server about the punch.
struct PunchTalk: Sendable {
    struct Question: Sendable {
        var relay: NetworkEndpoint
        var server: NetworkEndpoint
        var token: Bytes32?
        var isPunching: Bool
    }

    var round: UInt64 = 0
    /// The one that has not been answered.
    var question: Question?
    /// The server's relays that were tried.
    var triedRelays: [NetworkEndpoint] = []
    /// One of the server's own.
    var serverRelay: RelayPath?
    var serverToken: Bytes32?
    /// The punch round goes through the server's relay from now on.
    var isDelayed = false
    /// How often the turn has not come.
    var delays = 0
    /// A random punch has been reserved.
    var holdsSlot = false
}

extension Dial {
    mutating func startPunching(now: Instant, shared: inout ConnectShared) {
        let relays = payload.holepunch?.relays ?? []
        guard let serverRelay = relays.first(where: { $0.relay == relayAddress }) ?? relays.first
        else { return giveUp(.cannotPunch, now: now, shared: &shared) }
        puncher = Puncher(
            tag: tag, isInitiator: true, remoteKind: payload.natKind, shared: &shared)
        guard puncher != nil else { return giveUp(.unavailable, now: now, shared: &shared) }
        punch.serverRelay = serverRelay
        punch.triedRelays.append(serverRelay.relay)
        probeRound(isRepeat: false, now: now, shared: &shared)
    }

    // MARK: Talking

    private mutating func ask(
        _ message: HolepunchPayload, relay: NetworkEndpoint, server: NetworkEndpoint,
        shared: inout ConnectShared
    ) {
        guard let puncher, let secrets, let id = payload.holepunch?.id else { return }
        var message = message
        message.round = punch.round
        punch.round += 1
        punch.question = PunchTalk.Question(
            relay: relay, server: server, token: message.token, isPunching: message.isPunching)
        let value = HolepunchMessage(
            mode: .fromClient, id: id, payload: secrets.seal(message, nonce: shared.nonce()),
            peerAddress: server
        ).encoded()
        shared.actions.append(
            .request(
                .holepunch(tag), DHTRequest(.peerHolepunch, target: target, value: value),
                to: relay, via: puncher.socket))
    }

    /// What is said of our own NAT in every message but an abort.
    private var ownDescription: HolepunchPayload {
        var message = HolepunchPayload()
        message.natKind = puncher?.analysis.kind ?? .unknown
        message.addresses = puncher?.analysis.addresses
        return message
    }

    /// - Parameter reply: nil if none came.
    mutating func holepunchAnswered(
        _ reply: DHTReply?, now: Instant, shared: inout ConnectShared
    ) {
        guard case .punching(let step) = phase, let question = punch.question else { return }
        punch.question = nil
        freeSlot(now: now, shared: &shared)
        guard let reply, reply.from == question.relay, let value = reply.value,
            let message = try? HolepunchMessage(decoding: value.span), message.mode == .reply,
            let answer = secrets?.open(message.payload.span)
        else { return retryThroughNextRelay(now: now, shared: &shared) }

        if answer.error == .tryLater, relay.isAtWork, question.isPunching {
            return delay(now: now, shared: &shared)
        }
        guard answer.error == .none else {
            return giveUp(.remoteAborted, now: now, shared: &shared)
        }
        let isEchoed = question.token != nil && question.token == answer.remoteToken
        puncher?.updateRemote(answer, verified: isEchoed ? question.server.address : nil)
        switch step {
        case .probing(let isRepeat):
            puncher?.observed(mapped: reply.to, from: reply.from, shared: &shared)
            let probe = ProbeAnswer(
                token: answer.token, serverAddress: message.peerAddress ?? question.relay,
                isRepeat: isRepeat)
            guard puncher?.remoteKind != .unknown else {
                let until = now + ConnectTiming.unknownPause
                return phase = .punching(.pausing(until: until, probe))
            }
            analyse(probe, now: now, shared: &shared)
        case .telling: delay(now: now, shared: &shared)
        case .asking: startProbes(now: now, shared: &shared)
        case .pausing, .analysing, .delaying, .punching: break
        }
    }

    /// The relay died, or garbles what passes it: another of the server's may do.
    private mutating func retryThroughNextRelay(now: Instant, shared: inout ConnectShared) {
        let relays = (payload.holepunch?.relays ?? []).prefix(HyperDHTLimits.remoteAddressesMax)
        guard let next = relays.first(where: { !punch.triedRelays.contains($0.relay) }) else {
            return giveUp(.probeTimeout, now: now, shared: &shared)
        }
        punch.triedRelays.append(next.relay)
        punch.serverRelay = next
        // What this relay says of the server's address is what the punch round then uses.
        relayAddress = next.relay
        probeRound(isRepeat: false, now: now, shared: &shared)
    }

    // MARK: Probe round

    private mutating func probeRound(
        isRepeat: Bool, now: Instant, shared: inout ConnectShared
    ) {
        guard let serverRelay = punch.serverRelay else { return }
        let opened = shared.configuration.usesFastOpen ? serverAddress : nil
        if let opened { puncher?.openSession(to: opened, shared: &shared) }
        phase = .punching(.probing(isRepeat: isRepeat))
        var message = ownDescription
        message.remoteAddress = opened
        ask(message, relay: serverRelay.relay, server: serverRelay.server, shared: &shared)
    }

    /// Goes on once both NATs are known, or cannot be.
    private mutating func analyse(
        _ answer: ProbeAnswer, now: Instant, shared: inout ConnectShared
    ) {
        phase = .punching(.analysing(answer))
        guard let isStable = puncher?.stability(reopens: false, shared: &shared) else { return }
        if !isStable {
            guard let hasHelped = puncher?.stability(reopens: true, shared: &shared) else {
                return
            }
            if hasHelped, !answer.isRepeat {
                return probeRound(isRepeat: true, now: now, shared: &shared)
            }
        }
        guard let puncher else { return }
        if puncher.remoteKind == .unknown || answer.token == nil, !answer.isRepeat {
            return probeRound(isRepeat: true, now: now, shared: &shared)
        }
        if puncher.remoteKind == .unknown || puncher.analysis.kind == .unknown {
            return abort(.probeTimeout, now: now, shared: &shared)
        }
        if puncher.remoteKind == .random, puncher.analysis.kind == .random {
            return abort(.doubleRandomized, now: now, shared: &shared)
        }
        if punch.serverRelay?.relay == relayAddress, serverAddress != answer.serverAddress {
            serverAddress = answer.serverAddress
            puncher.openSession(to: serverAddress, shared: &shared)
        }
        punch.serverToken = answer.token
        self.puncher?.freeze()
        punchRound(now: now, shared: &shared)
    }

    /// Tells the server that there will be no punch.
    private mutating func abort(
        _ reason: ConnectFailure, now: Instant, shared: inout ConnectShared
    ) {
        if let path = punch.serverRelay {
            var message = HolepunchPayload()
            message.error = .aborted
            ask(message, relay: path.relay, server: path.server, shared: &shared)
        }
        giveUp(reason, now: now, shared: &shared)
    }

    // MARK: Punch round

    private mutating func punchRound(now: Instant, shared: inout ConnectShared) {
        guard let puncher, let serverRelay = punch.serverRelay else { return }
        let token = secrets?.token(for: serverAddress.address)
        if puncher.isRandom {
            guard shared.slots.isFree(now: now) else {
                return waitForSlot(token: token, now: now, shared: &shared)
            }
            shared.slots.take()
            punch.holdsSlot = true
        }
        let isDelayed = punch.isDelayed
        phase = .punching(.asking)
        var message = ownDescription
        message.isPunching = true
        message.token = isDelayed ? nil : token
        message.remoteToken = punch.serverToken
        ask(
            message, relay: isDelayed ? serverRelay.relay : relayAddress,
            server: isDelayed ? serverRelay.server : serverAddress, shared: &shared)
    }

    private mutating func waitForSlot(
        token: Bytes32?, now: Instant, shared: inout ConnectShared
    ) {
        guard relay.isAtWork else { return giveUp(.punchAborted, now: now, shared: &shared) }
        guard !punch.isDelayed else { return delay(now: now, shared: &shared) }
        punch.isDelayed = true
        phase = .punching(.telling)
        var message = ownDescription
        message.token = token
        message.remoteToken = punch.serverToken
        ask(message, relay: relayAddress, server: serverAddress, shared: &shared)
    }

    private mutating func delay(now: Instant, shared: inout ConnectShared) {
        punch.isDelayed = true
        punch.delays += 1
        guard punch.delays <= ConnectTiming.tryLaterMax else {
            return giveUp(.punchAborted, now: now, shared: &shared)
        }
        let extra = Int64.random(
            in: 0...ConnectTiming.tryLater.nanosecondsClamped, using: &shared.random)
        let until = now + ConnectTiming.tryLater + .nanoseconds(extra)
        phase = .punching(.delaying(until: until))
    }

    private mutating func startProbes(now: Instant, shared: inout ConnectShared) {
        guard puncher?.isRemotePunching == true else {
            return giveUp(.remoteNotPunching, now: now, shared: &shared)
        }
        guard puncher?.punch(now: now, shared: &shared) == true else {
            return giveUp(.remoteNotPunchable, now: now, shared: &shared)
        }
        phase = .punching(.punching)
    }

    mutating func freeSlot(now: Instant, shared: inout ConnectShared) {
        guard punch.holdsSlot else { return }
        punch.holdsSlot = false
        shared.slots.free(now: now, hasPunched: false)
    }

    // MARK: Time and samples

    mutating func advancePunching(now: Instant, shared: inout ConnectShared) {
        puncher?.advance(now: now, shared: &shared)
        guard case .punching(let step) = phase else { return }
        if puncher?.isOver != false {
            return giveUp(.punchAborted, now: now, shared: &shared)
        }
        switch step {
        case .pausing(let until, let answer) where now >= until:
            analyse(answer, now: now, shared: &shared)
        case .delaying(let until) where now >= until: punchRound(now: now, shared: &shared)
        default: break
        }
    }

    mutating func sampled(
        via socket: SocketID, reply: DHTReply?, now: Instant, shared: inout ConnectShared
    ) {
        puncher?.sampled(via: socket, mapped: reply?.to, from: reply?.from, shared: &shared)
        if case .punching(.analysing(let answer)) = phase {
            analyse(answer, now: now, shared: &shared)
        }
    }
}
