internal import Base
internal import Wire

/// An answer in the making.
struct Answer: Sendable {
    let request: InboundRequest
    let source: PackedEndpoint
    /// Bytes of the request as it came.
    let requestSize: Int
    let now: Instant

    /// Where it goes, if not to `source`.
    var to: PackedEndpoint?
    var error: UInt64 = 0
    var value: [UInt8]?
    var hasToken = true
    /// Only if the request has a target.
    var hasCloserNodes = true
    /// Whether the request carried a good token: its sender receives at its address.
    var isProven = false

    init(request: InboundRequest, source: PackedEndpoint, requestSize: Int, now: Instant) {
        self.request = request
        self.source = source
        self.requestSize = requestSize
        self.now = now
    }
}

/// Answers, and how large they may be. Anybody can write any source into a request; a small request
/// must not become a large answer for whoever has that address (threat T9).
extension DHTNode {
    mutating func send(_ answer: Answer, into effects: inout DHTEffects) {
        let request = answer.request
        let destination = answer.to ?? answer.source
        var response = DHTPacket.Response(
            transaction: request.transaction, to: destination.endpoint,
            id: ownID(on: request.socket),
            token: answer.hasToken ? tokens.issue(to: answer.source.host, now: answer.now) : nil,
            error: answer.error, value: answer.value)
        if answer.hasCloserNodes, let target = request.target {
            response.closerNodes = closerNodes(to: target, for: destination)
        }
        guard answer.isProven || fit(&response, answer) else { return }
        effects.datagrams.append(response, to: destination.endpoint, via: request.socket)
    }

    /// The nodes we know to be closest, without the asker itself.
    func closerNodes(to target: Bytes32, for asker: PackedEndpoint) -> [NetworkEndpoint] {
        table.closest(to: target, count: DHTLimits.closerNodesMax)
            .compactMap { $0.endpoint == asker ? nil : $0.endpoint.endpoint }
    }

    /// Cuts a response to an unproven address down to what its request allows, unless the budgets
    /// pay for the rest.
    ///
    /// - Returns: false if nothing sensible is left.
    private mutating func fit(_ response: inout DHTPacket.Response, _ answer: Answer) -> Bool {
        let allowed = configuration.limits.unprovenReplyFactor * answer.requestSize
        let size = response.encodedSize
        if size <= allowed { return true }
        if budgets.spend(
            size - allowed, on: .unprovenBytes, for: answer.source.origin, now: answer.now)
        {
            return true
        }
        let tooMany = (size - allowed + 5) / 6
        if tooMany < response.closerNodes.count {
            response.closerNodes.removeLast(tooMany)
            return true
        }
        response.closerNodes = []
        if response.encodedSize <= allowed { return true }
        if answer.request.command == .lookup, let value = response.value {
            response.value = Self.shortened(value, by: response.encodedSize - allowed)
        }
        if response.encodedSize > allowed { response.id = nil }
        return response.encodedSize <= allowed
    }

    /// A LOOKUP reply with fewer records.
    private static func shortened(_ value: [UInt8], by bytes: Int) -> [UInt8]? {
        guard var reply = try? LookupReply(decoding: value) else { return nil }
        var saved = 0
        while saved < bytes, let peer = reply.peers.popLast() {
            saved += Bytes32.count + 1 + 6 * peer.relayAddresses.count
        }
        return reply.peers.isEmpty ? nil : reply.encoded()
    }
}
