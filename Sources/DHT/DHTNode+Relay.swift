package import Base
package import Wire

/// Handshakes and hole punches: passed on for others, handed to the owner if they are for a target
/// that is served here (`connect.md` 2.2 and 4.3). Nothing is kept per connection.
extension DHTNode {
    /// From now on handshakes and holepunch messages for `target` come as `.request` events instead
    /// of being passed on.
    package mutating func serve(_ target: Bytes32) { served.insert(target) }
    package mutating func stopServing(_ target: Bytes32) { served.remove(target) }

    // MARK: Sending

    /// Answers a request that came as `.request`, through the socket it came in on or another one;
    /// without a token.
    package mutating func reply(
        to request: InboundRequest, value: [UInt8]?, closerNodes: Bool, via socket: SocketID? = nil,
        into effects: inout DHTEffects
    ) {
        let socket = socket ?? request.socket
        var response = DHTPacket.Response(
            transaction: request.transaction, to: request.from, id: ownID(on: socket), value: value)
        if closerNodes, let target = request.target, let asker = PackedEndpoint(request.from) {
            response.closerNodes = self.closerNodes(to: target, for: asker)
        }
        effects.datagrams.append(response, to: request.from, via: socket)
    }

    /// Sends a request on behalf of another node: once, under the transaction number of that node,
    /// with no record of it kept here.
    package mutating func relay(
        _ request: DHTRequest, transaction: UInt16, to destination: NetworkEndpoint,
        via socket: SocketID, into effects: inout DHTEffects
    ) {
        guard let destination = PackedEndpoint(destination)?.endpoint else { return }
        effects.datagrams.append(
            DHTPacket.Request(
                transaction: transaction, to: destination, id: ownID(on: socket), body: request),
            to: destination, via: socket)
    }

    /// Sends a response that belongs to another node's transaction.
    package mutating func respond(
        value: [UInt8]?, transaction: UInt16, to destination: NetworkEndpoint,
        via socket: SocketID, into effects: inout DHTEffects
    ) {
        guard let destination = PackedEndpoint(destination)?.endpoint else { return }
        effects.datagrams.append(
            DHTPacket.Response(
                transaction: transaction, to: destination, id: ownID(on: socket), value: value),
            to: destination, via: socket)
    }

    // MARK: Passing on

    mutating func handleHandshake(_ received: Answer, into effects: inout DHTEffects) {
        var answer = received
        let request = answer.request
        guard let target = request.target, let value = request.value,
            let message = try? HandshakeMessage(decoding: value)
        else { return }
        let isServed = served.contains(target)
        switch message.mode {
        case .fromClient, .fromRelay, .fromSecondRelay:
            if isServed {
                effects.events.append(.request(request))
                return
            }
        case .fromServer, .reply:
            break
        }
        let forward = storage.forwards.touch(target, now: answer.now)?.address.endpoint
        switch message.mode {
        case .fromClient:
            guard let next = message.relayAddress ?? forward else {
                answer.hasToken = false
                send(answer, into: &effects)
                return
            }
            pass(
                HandshakeMessage(
                    mode: .fromRelay, noise: message.noise, peerAddress: request.from),
                to: next, answer, into: &effects)
        case .fromRelay:
            guard let forward else { return }
            pass(
                HandshakeMessage(
                    mode: .fromSecondRelay, noise: message.noise, peerAddress: message.peerAddress,
                    relayAddress: request.from),
                to: forward, answer, into: &effects)
        case .fromServer:
            giveBack(
                HandshakeMessage(mode: .reply, noise: message.noise, peerAddress: request.from),
                to: message.peerAddress, answer, into: &effects)
        case .fromSecondRelay, .reply:
            return
        }
    }

    mutating func handleHolepunch(_ answer: Answer, into effects: inout DHTEffects) {
        let request = answer.request
        guard let target = request.target, let value = request.value,
            let message = try? HolepunchMessage(decoding: value)
        else { return }
        switch message.mode {
        case .fromClient:
            let forward = storage.forwards.touch(target, now: answer.now)?.address.endpoint
            guard let next = message.peerAddress ?? forward else { return }
            pass(
                HolepunchMessage(
                    mode: .fromRelay, id: message.id, payload: message.payload,
                    peerAddress: request.from),
                to: next, answer, into: &effects)
        case .fromRelay:
            guard served.contains(target), message.peerAddress != nil else { return }
            effects.events.append(.request(request))
        case .fromServer:
            giveBack(
                HolepunchMessage(
                    mode: .reply, id: message.id, payload: message.payload,
                    peerAddress: request.from),
                to: message.peerAddress, answer, into: &effects)
        case .fromSecondRelay, .reply:
            return
        }
    }

    /// Sends the message on as a request under the same transaction number, through the socket that
    /// it came by.
    private mutating func pass(
        _ message: some DHTMessage, to destination: NetworkEndpoint, _ answer: Answer,
        into effects: inout DHTEffects
    ) {
        guard mayPass(from: answer.source, to: destination) else { return }
        relay(
            DHTRequest(
                answer.request.command, target: answer.request.target, value: message.encoded()),
            transaction: answer.request.transaction, to: destination, via: answer.request.socket,
            into: &effects)
    }

    private mutating func giveBack(
        _ message: some DHTMessage, to destination: NetworkEndpoint?, _ answer: Answer,
        into effects: inout DHTEffects
    ) {
        guard let destination, mayPass(from: answer.source, to: destination) else { return }
        respond(
            value: message.encoded(), transaction: answer.request.transaction, to: destination,
            via: answer.request.socket, into: &effects)
    }

    private func mayPass(from source: PackedEndpoint, to destination: NetworkEndpoint) -> Bool {
        PackedEndpoint(destination).map { source.scope.mayName($0.scope) } ?? false
    }
}
