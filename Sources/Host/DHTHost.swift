package import Base
import Crypto
package import DHT
package import Wire

/// A DHT node on an event loop, with the two sockets that it needs: what `holdfast dht`, `warm` and
/// `doctor` run. A mount's own node makes connections as well, and is another.
///
/// Confined to the loop's thread, but for `init`, `start`, `perform`, `ask` and `close`.
package final class DHTHost: LoopMember, DatagramReceiver, @unchecked Sendable {
    /// The ports that others of the network use; tried in turn when no port is asked for.
    package static let usualPorts: [UInt16] = [49737, 49738, 49739, 49740, 49741]

    private let loop: EventLoop
    private let sockets: UDPEndpoint
    private var node: DHTNode
    private var effects = DHTEffects()
    private var observer: ((DHTEvent) -> Void)?
    /// Those of `ask` that wait for an answer.
    var questions: [RequestID: Question] = [:]

    /// Opens the sockets; the node is silent until `start`.
    ///
    /// - Parameters:
    ///   - loop: runs already.
    ///   - address: to bind both sockets to.
    ///   - ports: for the server socket, the first that is free; 0 is any.
    ///   - configuration: gets the ports that the sockets have.
    /// - Throws: when none of the ports is free, or the address is not this machine's.
    package init(
        loop: EventLoop, address: NetworkAddress, ports: [UInt16],
        configuration: (_ server: UInt16, _ client: UInt16) -> DHTConfiguration
    ) throws(HostError) {
        self.loop = loop
        let sockets = UDPEndpoint(loop: loop)
        self.sockets = sockets
        let bound = loop.perform { Self.bind(sockets, address, ports) } ?? .failure(.notRunning)
        let (server, client) = try bound.get()
        var random = SecureRandom()
        node = DHTNode(
            configuration: configuration(server, client),
            seed: Bytes32(random.bytes(Bytes32.count)) ?? .zero, now: monotonicNow())
        _ = loop.perform { [self] in
            sockets.receiver = self
            loop.add(self)
        }
    }

    private static func bind(
        _ sockets: UDPEndpoint, _ address: NetworkAddress, _ ports: [UInt16]
    ) -> Result<(UInt16, UInt16), HostError> {
        var failure = HostError.unknownHost("\(address)")
        for port in ports {
            do throws(HostError) {
                let server = try sockets.bind(
                    .server, to: NetworkEndpoint(address: address, port: port))
                let client = try sockets.bind(
                    .client, to: NetworkEndpoint(address: address, port: 0))
                return .success((server, client))
            } catch {
                failure = error
                sockets.closeAll()
            }
        }
        return .failure(failure)
    }

    /// Lets the node look for others.
    ///
    /// - Parameter observer: gets the node's events, on the loop.
    package func start(observer: @escaping @Sendable (DHTEvent) -> Void) {
        _ = loop.perform { [self] in
            self.observer = observer
            with { node, now, effects in node.start(now: now, into: &effects) }
        }
    }

    /// Works with the node on the loop's thread, and waits for that; nil once the loop has stopped.
    package func perform<Result: Sendable>(
        _ body: @escaping @Sendable (inout DHTNode, Instant, inout DHTEffects) -> Result
    ) -> Result? {
        loop.perform { [self] in with(body) }
    }

    func onLoop<Result: Sendable>(
        _ body: @escaping @Sendable (DHTHost) -> Result
    ) -> Result? {
        loop.perform { [self] in body(self) }
    }

    /// What has gone through the sockets.
    package var traffic: UDPEndpoint.Statistics {
        loop.perform { [sockets] in sockets.statistics } ?? UDPEndpoint.Statistics()
    }

    /// The port that requests leave by.
    package var clientPort: UInt16? {
        loop.perform { [sockets] in sockets.port(of: .client) } ?? nil
    }

    /// Why datagrams were last refused.
    package var sendingProblem: HostError? {
        loop.perform { [sockets] in sockets.problem } ?? nil
    }

    /// Closes the sockets. Questions under way go unanswered.
    package func close() {
        _ = loop.perform { [self] in
            loop.remove(self)
            sockets.closeAll()
            observer = nil
            giveUpQuestions()
        }
    }

    // MARK: On the loop

    package func run(now: Instant) -> Instant {
        if now >= node.deadline {
            _ = node.advance(now: now, into: &effects)
            carryOut()
        }
        return node.deadline
    }

    package func received(
        _ datagram: Span<UInt8>, from source: NetworkEndpoint, on socket: SocketID, now: Instant
    ) {
        node.receive(datagram, from: source, on: socket, now: now, into: &effects)
        carryOut()
    }

    func with<Result>(
        _ body: (inout DHTNode, Instant, inout DHTEffects) -> Result
    ) -> Result {
        let result = body(&node, monotonicNow(), &effects)
        carryOut()
        return result
    }

    private func carryOut() {
        if !effects.datagrams.isEmpty { sockets.send(effects.datagrams) }
        let events = effects.events
        // Before the events are told: who hears of them may call again.
        effects.removeAll()
        for event in events {
            switch event {
            case .replied(let id, let reply) where questions[id] != nil: answer(id, reply)
            case .timedOut(let id) where questions[id] != nil: answer(id, nil)
            default: observer?(event)
            }
        }
    }
}
