package import Base
package import Wire

/// What we ask of others, one at a time.
extension DHTNode {
    /// Sends a request and repeats it until an answer comes from `destination`, on any socket.
    ///
    /// - Parameters:
    ///   - socket: by default `requestSocket`.
    ///   - retries: sends after the first.
    ///   - timeout: per send.
    /// - Returns: the number that `.replied` or `.timedOut` will carry.
    package mutating func request(
        _ request: DHTRequest, to destination: NetworkEndpoint, via socket: SocketID? = nil,
        retries: Int = 3, timeout: Duration = .seconds(1), now: Instant,
        into effects: inout DHTEffects
    ) -> RequestID {
        send(
            request, to: PackedEndpoint(destination), via: socket, purpose: .caller,
            retries: retries, timeout: timeout, now: now, into: &effects)
    }

    /// Forgets a request: no event follows.
    package mutating func cancel(_ id: RequestID) {
        _ = requests.removeAll { $0.id == id && $0.purpose == .caller }
        refused.removeAll { $0.id == id && $0.purpose == .caller }
    }

    /// - Parameter destination: nil fails as if nobody answered.
    @discardableResult
    mutating func send(
        _ request: DHTRequest, to destination: PackedEndpoint?, via socket: SocketID? = nil,
        purpose: PendingRequest.Purpose, retries: Int = 3, timeout: Duration = .seconds(1),
        isForced: Bool = false, now: Instant, into effects: inout DHTEffects
    ) -> RequestID {
        let id = nextRequestID()
        let socket = socket ?? requestSocket
        let place = destination ?? PackedEndpoint(host: 0, port: 0)
        let transaction = requests.freeTransaction(using: &random)
        var packet: [UInt8] = []
        if let transaction {
            packet =
                DHTPacket.Request(
                    transaction: transaction, to: place.endpoint, id: ownID(on: socket),
                    body: request
                ).encoded()
        }
        let pending = PendingRequest(
            id: id, destination: place, socket: socket, packet: packet, purpose: purpose,
            sendsMax: 1 + max(0, retries), timeout: timeout, isForced: isForced)
        guard let transaction, destination != nil, !isSuspended else {
            refused.append(pending)
            return id
        }
        requests.insert(pending, transaction: transaction)
        transmit(transaction, now: now, into: &effects)
        return id
    }

    /// The id to write into a packet that leaves through `socket`, if any.
    func ownID(on socket: SocketID) -> Bytes32? {
        !isEphemeral && socket == .server ? table.id : nil
    }

    private mutating func transmit(
        _ transaction: UInt16, now: Instant, into effects: inout DHTEffects
    ) {
        guard let request = requests[transaction] else { return }
        guard request.isForced || !window.isFull(now) else {
            if requests.isQueueEmpty { drainAt = CongestionWindow.nextSlot(now) }
            requests.wait(transaction)
            return
        }
        window.sent(now)
        requests.sent(transaction, now: now)
        effects.datagrams.bytes.append(contentsOf: request.packet)
        effects.datagrams.close(to: request.destination.endpoint, via: request.socket)
    }

    /// Sends what waited for the congestion window.
    mutating func sendWaiting(now: Instant, into effects: inout DHTEffects) {
        guard drainAt <= now else { return }
        drainAt = .distantFuture
        while !window.isFull(now), let transaction = requests.nextWaiting() {
            transmit(transaction, now: now, into: &effects)
        }
        if !requests.isQueueEmpty { drainAt = CongestionWindow.nextSlot(now) }
    }

    /// Sends again, or gives up, what was not answered in time.
    mutating func timeOutRequests(now: Instant, into effects: inout DHTEffects) {
        for transaction in requests.due(now) {
            guard let request = requests[transaction] else { continue }
            health.timedOut()
            window.settled(now)
            if request.sends < request.sendsMax {
                if !request.isSlow, case .query(let id) = request.purpose {
                    requests.markSlow(transaction)
                    queries[id]?.becameSlow()
                    stepQuery(id, now: now, into: &effects)
                }
                transmit(transaction, now: now, into: &effects)
            } else if let request = requests.remove(transaction) {
                failed(request, now: now, into: &effects)
            }
        }
    }

    mutating func failRefused(now: Instant, into effects: inout DHTEffects) {
        let requests = refused
        refused.removeAll()
        for request in requests { failed(request, now: now, into: &effects) }
    }

    // MARK: Outcomes

    private mutating func failed(
        _ request: PendingRequest, now: Instant, into effects: inout DHTEffects
    ) {
        let node = request.destination
        switch request.purpose {
        case .caller:
            effects.events.append(.timedOut(request.id))
        case .query(let id):
            forget(node)
            queryFailed(id, node, wasSlow: request.isSlow, now: now, into: &effects)
        case .clear(let id), .commit(let id):
            forget(node)
            writeSettled(id, reply: nil, request.purpose, now: now, into: &effects)
        case .check:
            forget(node)
        case .downCheck:
            downChecksRunning -= 1
            forget(node)
        case .swap(let newcomer):
            swapsRunning -= 1
            forget(node)
            if NodeFilter.ignores(newcomer) == false {
                _ = table.insert(newcomer, id: newcomer.id, tick: tick)
            }
        case .newcomer:
            newcomers.removeAll { $0 == node }
        case .firewallProbe:
            probeSettled(reply: nil, now: now, into: &effects)
        case .quickProbe, .notice:
            break
        }
    }

    /// Takes a node that did not answer out of the table.
    private mutating func forget(_ node: PackedEndpoint) { table.remove(node.id) }

    /// An answer to one of our requests.
    mutating func receiveResponse(
        _ packet: DHTPacket.Response, from source: PackedEndpoint, on socket: SocketID,
        now: Instant, into effects: inout DHTEffects
    ) {
        // Only who was asked may answer, on whatever socket of ours.
        guard let request = requests[packet.transaction], request.destination == source,
            request.sends > 0
        else { return }
        _ = requests.remove(packet.transaction)
        window.settled(now)
        health.responded()
        let id = packet.id.flatMap { $0 == source.id ? $0 : nil }
        noteNode(id, source, seesUsAt: packet.to, on: socket, now: now, into: &effects)

        let reply = DHTReply(
            from: source.endpoint, to: packet.to, socket: socket, id: id, token: packet.token,
            closerNodes: packet.closerNodes, error: packet.error, value: packet.value,
            roundTripTime: now - request.sentAt)
        switch request.purpose {
        case .caller:
            effects.events.append(.replied(request.id, reply))
        case .query(let id):
            queryReplied(id, reply, wasSlow: request.isSlow, now: now, into: &effects)
        case .clear(let id), .commit(let id):
            writeSettled(id, reply: reply, request.purpose, now: now, into: &effects)
        case .downCheck:
            downChecksRunning -= 1
        case .swap:
            swapsRunning -= 1
        case .newcomer:
            newcomers.removeAll { $0 == source }
        case .quickProbe:
            quickProbePassed(now: now, into: &effects)
        case .firewallProbe:
            probeSettled(reply: reply, now: now, into: &effects)
        case .check, .notice:
            break
        }
        if requests.isQueueEmpty == false, drainAt == .distantFuture {
            drainAt = CongestionWindow.nextSlot(now)
        }
    }
}
