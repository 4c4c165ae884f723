internal import Base
internal import Wire

/// What a server keeps of its talk with the client about the punch.
struct PunchDuty: Sendable {
    /// A question that waits until our own NAT is known.
    struct Question: Sendable {
        var request: InboundRequest
        /// The client, as the relay sees it.
        var client: NetworkEndpoint
        var payload: HolepunchPayload
        /// It came by a node at which we have announced ourselves.
        var isFromOwnRelay: Bool
    }

    /// The highest seen.
    var round: UInt64 = 0
    var pending: [Question] = []
    var messageCount = 0
    var isGivenUp = false
}

extension Incoming {
    /// One PEER_HOLEPUNCH message for this handshake (`connect.md` 4.6).
    mutating func holepunch(
        _ message: HolepunchMessage, request: InboundRequest, isFromOwnRelay: Bool, now: Instant,
        shared: inout ConnectShared
    ) {
        guard stage == .running, let client = message.peerAddress,
            let secrets, punch.messageCount < shared.configuration.limits.holepunchMessagesMax
        else { return }
        guard let payload = secrets.open(message.payload.span) else { return }
        punch.messageCount += 1
        let question = PunchDuty.Question(
            request: request, client: client, payload: payload, isFromOwnRelay: isFromOwnRelay)
        guard let puncher, !puncher.isOver, payload.error == .none else {
            return abort(question, .aborted, now: now, shared: &shared)
        }
        if request.socket == puncher.socket {
            self.puncher?.observed(mapped: request.to, from: request.from, shared: &shared)
        }
        if payload.round >= punch.round {
            punch.round = payload.round
            let isEchoed =
                isFromOwnRelay && payload.remoteToken == secrets.token(for: client.address)
            self.puncher?.updateRemote(payload, verified: isEchoed ? client.address : nil)
        }
        guard punch.pending.count < shared.configuration.limits.waitingRequestsMax else { return }
        punch.pending.append(question)
        // It may have to wait for its turn, and does not hold up the connection.
        if relay.isPaired, waitsUntil != nil { waitsUntil = now + ConnectTiming.relayedWait }
        answerPending(now: now, shared: &shared)
    }

    /// Answers what waits, if our own NAT is known or will not be.
    private mutating func answerPending(now: Instant, shared: inout ConnectShared) {
        while let question = punch.pending.first, let puncher, !puncher.isOver {
            guard let isStable = self.puncher?.stability(reopens: false, shared: &shared) else {
                return
            }
            if !isStable, !puncher.isRemotePunching {
                guard let hasHelped = self.puncher?.stability(reopens: true, shared: &shared) else {
                    return
                }
                if !hasHelped {
                    punch.pending.removeFirst()
                    abort(question, .aborted, now: now, shared: &shared)
                    continue
                }
            }
            punch.pending.removeFirst()
            answer(question, now: now, shared: &shared)
        }
    }

    private mutating func answer(
        _ question: PunchDuty.Question, now: Instant, shared: inout ConnectShared
    ) {
        guard let puncher else { return }
        // The client has opened its NAT towards us: this may be all it takes.
        if puncher.analysis.kind.isConsistent, let opened = question.payload.remoteAddress,
            puncher.analysis.addresses?.contains(opened) == true
        {
            puncher.ping(question.client, shared: &shared)
        }
        if puncher.isRemotePunching {
            if puncher.isRandom, !puncher.isPunching, !shared.slots.isFree(now: now) {
                guard relay.isAtWork else {
                    return abort(question, .tryLater, now: now, shared: &shared)
                }
                waitsUntil = now + ConnectTiming.relayedWait
                return send(describe(question, error: .tryLater), for: question, shared: &shared)
            }
            guard self.puncher?.punch(now: now, shared: &shared) == true else {
                return abort(question, .aborted, now: now, shared: &shared)
            }
            // The tries come to an end by themselves.
            waitsUntil = nil
        }
        if self.puncher?.analysis.kind != .unknown { self.puncher?.freeze() }
        send(describe(question, error: .none), for: question, shared: &shared)
    }

    private func describe(
        _ question: PunchDuty.Question, error: ConnectErrorCode
    ) -> HolepunchPayload {
        var message = HolepunchPayload()
        message.error = error
        message.natKind = puncher?.analysis.kind ?? .unknown
        message.round = punch.round
        message.isPunching = puncher?.isPunching == true
        message.addresses = puncher?.analysis.addresses
        // Whoever echoes it proves to receive what our own relays send to that host.
        message.token =
            question.isFromOwnRelay ? secrets?.token(for: question.client.address) : nil
        message.remoteToken = question.payload.token
        return message
    }

    private func send(
        _ message: HolepunchPayload, for question: PunchDuty.Question, via socket: SocketID? = nil,
        shared: inout ConnectShared
    ) {
        guard let secrets else { return }
        let value = HolepunchMessage(
            mode: .fromServer, id: 0, payload: secrets.seal(message, nonce: shared.nonce()),
            peerAddress: question.client
        ).encoded()
        shared.actions.append(
            .relay(
                DHTRequest(.peerHolepunch, target: target, value: value),
                transaction: question.request.transaction, to: question.request.from,
                via: socket ?? puncher?.socket ?? shared.requestSocket))
    }

    /// Says that there will be no punch, and gives it up.
    private mutating func abort(
        _ question: PunchDuty.Question, _ error: ConnectErrorCode, now: Instant,
        shared: inout ConnectShared
    ) {
        var message = HolepunchPayload()
        message.error = error
        message.round = max(punch.round, question.payload.round)
        send(message, for: question, via: shared.requestSocket, shared: &shared)
        giveUp(.punchAborted, now: now, shared: &shared)
    }

    mutating func sampled(
        via socket: SocketID, reply: DHTReply?, now: Instant, shared: inout ConnectShared
    ) {
        puncher?.sampled(via: socket, mapped: reply?.to, from: reply?.from, shared: &shared)
        answerPending(now: now, shared: &shared)
    }
}
