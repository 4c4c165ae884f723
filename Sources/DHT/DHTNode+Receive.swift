package import Base
package import Wire

/// What comes in, and how it is answered (`dht.md` 3).
extension DHTNode {
    /// Takes in one datagram whose first byte may be 0x03 or 0x13; anything else is ignored.
    package mutating func receive(
        _ datagram: Span<UInt8>, from source: NetworkEndpoint, on socket: SocketID, now: Instant,
        into effects: inout DHTEffects
    ) {
        guard !isSuspended, datagram.count >= 2, let source = PackedEndpoint(source) else { return }
        let body = datagram.extracting(droppingFirst: 1)
        switch datagram[0] {
        case DHTPacket.requestByte:
            guard budgets.spend(1, on: .request, for: source.origin, now: now),
                let packet = try? DHTPacket.Request(decoding: body)
            else { return }
            receiveRequest(
                packet, from: source, on: socket, size: datagram.count, now: now, into: &effects)
        case DHTPacket.responseByte:
            // Cheap to refuse: only what answers a request of ours is looked into.
            guard body.count >= 3, requests.mayAnswer(body, from: source),
                let packet = try? DHTPacket.Response(decoding: body)
            else { return }
            receiveResponse(packet, from: source, on: socket, now: now, into: &effects)
        default:
            return
        }
    }

    private mutating func receiveRequest(
        _ packet: DHTPacket.Request, from source: PackedEndpoint, on socket: SocketID, size: Int,
        now: Instant, into effects: inout DHTEffects
    ) {
        let id = packet.id.flatMap { $0 == source.id ? $0 : nil }
        if let id { noteRequester(id, source, now: now, into: &effects) }
        let request = InboundRequest(
            from: source.endpoint, to: packet.to, socket: socket, transaction: packet.transaction,
            command: packet.body.command, target: packet.body.target, token: packet.body.token,
            value: packet.body.value, id: id)
        var answer = Answer(request: request, source: source, requestSize: size, now: now)
        if let token = request.token {
            guard tokens.accepts(token, from: source.host, now: now) else {
                answer.error = DHTErrorCode.invalidToken
                send(answer, into: &effects)
                return
            }
            answer.isProven = true
        }
        if request.command.isInternal {
            handleInternal(answer, into: &effects)
        } else {
            handleCommand(answer, into: &effects)
        }
    }

    // MARK: The RPC layer's own commands

    private mutating func handleInternal(_ received: Answer, into effects: inout DHTEffects) {
        var answer = received
        answer.hasToken = false
        let request = answer.request
        switch request.command {
        case .ping:
            answer.hasCloserNodes = false
        case .pingNAT:
            guard
                let port = Self.read(request.value, { r throws(WireError) in try r.readUInt16() }),
                port != 0
            else { return }
            answer.hasCloserNodes = false
            answer.to = PackedEndpoint(host: answer.source.host, port: port)
        case .findNode:
            guard request.target != nil else { return }
        case .downHint:
            guard
                let node = Self.read(
                    request.value, { r throws(WireError) in try r.readIPv4Endpoint() })
            else { return }
            answer.hasCloserNodes = false
            if let node = PackedEndpoint(node) {
                checkDown(node, now: answer.now, into: &effects)
            }
        case .delayedPing:
            guard
                let delay = Self.read(
                    request.value, { r throws(WireError) in try r.readUInt32() }),
                delay <= DHTLimits.pingDelayMillisecondsMax,
                delayedPings.count < DHTLimits.delayedPingsMax
            else { return }
            delayedPings.append(
                DelayedPing(
                    due: answer.now + .milliseconds(Int64(delay)), to: answer.source,
                    socket: request.socket, transaction: request.transaction))
            return
        default:
            answer.error = DHTErrorCode.unknownCommand
        }
        send(answer, into: &effects)
    }

    mutating func answerDelayedPings(now: Instant, into effects: inout DHTEffects) {
        guard delayedPings.contains(where: { $0.due <= now }) else { return }
        for ping in delayedPings where ping.due <= now {
            effects.datagrams.append(
                DHTPacket.Response(
                    transaction: ping.transaction, to: ping.to.endpoint, id: ownID(on: ping.socket)
                ),
                to: ping.to.endpoint, via: ping.socket)
        }
        delayedPings.removeAll { $0.due <= now }
    }

    static func read<Value>(
        _ value: [UInt8]?, _ body: (inout WireReader) throws(WireError) -> Value
    ) -> Value? {
        guard let value else { return nil }
        var reader = WireReader(value.span)
        return try? body(&reader)
    }
}

extension RequestTable {
    /// Whether a response, without its first byte, answers one of these. The flags are one byte in
    /// what anybody sends; a longer form is not worth reading.
    func mayAnswer(_ body: Span<UInt8>, from source: PackedEndpoint) -> Bool {
        guard body[0] < 0xfd else { return true }
        let transaction = UInt16(body[1]) | UInt16(body[2]) << 8
        return self[transaction]?.destination == source
    }
}
