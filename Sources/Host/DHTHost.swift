package import Base
import Crypto
package import DHT
package import Wire

/// A node of the DHT that belongs to no share, on an event loop: what `holdfast dht`, `warm` and
/// `doctor` run.
///
/// Confined to the loop's thread, but for what waits for the loop: `init`, `start`, `perform`,
/// `ask`, `facts` and `close`.
package final class DHTHost: @unchecked Sendable {
    /// What the node is and has done.
    package struct Facts: Equatable, Sendable {
        package var serverPort: UInt16 = 0
        package var clientPort: UInt16 = 0
        /// Where others reach the node; nil while that is unknown.
        package var publicAddress: NetworkEndpoint?
        package var isEphemeral = true
        package var isFirewalled = true
        /// Other nodes that it knows.
        package var nodes = 0
        package var traffic = UDPEndpoint.Statistics()
        /// Passed on as a blind relay.
        package var relayedBytes: UInt64 = 0
        package var relayedPairs = 0
        /// Why datagrams were last refused.
        package var problem: HostError?
    }

    private let loop: EventLoop
    private let node: SwarmNode
    private let relay: RelayAnnouncement?
    private var observer: ((DHTEvent) -> Void)?
    /// Those of `ask` that wait for an answer.
    var questions: [RequestID: Question] = [:]

    /// Opens the sockets, and begins to look for the nodes that the options name.
    ///
    /// - Parameters:
    ///   - loop: runs already.
    ///   - observer: gets the node's events, on the loop.
    /// - Throws: when no port is free, or the address is not this machine's.
    package init(
        loop: EventLoop, options: SwarmNodeOptions,
        observer: @escaping @Sendable (DHTEvent) -> Void = { _ in }
    ) throws(HostError) {
        self.loop = loop
        self.observer = observer
        node = SwarmNode(loop: loop, options: options)
        relay =
            options.relay == nil
            ? nil : RelayAnnouncement(node: node, loop: loop, keyPair: options.keyPair)
        node.observer = self
        try node.open()
    }

    package var facts: Facts {
        let facts: Facts? = loop.perform { [self] in
            Facts(
                serverPort: node.serverPort ?? 0, clientPort: node.endpoint.port(of: .client) ?? 0,
                publicAddress: node.dht.remoteAddress, isEphemeral: node.dht.isEphemeral,
                isFirewalled: node.dht.isFirewalled, nodes: node.dht.tableCount,
                traffic: node.endpoint.statistics, relayedBytes: node.relayedBytes,
                relayedPairs: node.relayedPairs, problem: node.endpoint.problem)
        }
        return facts ?? Facts()
    }

    /// Asks the node for something; nil once the loop has stopped.
    package func perform<Result: Sendable>(
        _ body: @escaping @Sendable (inout DHTNode, Instant, inout DHTEffects) -> Result
    ) -> Result? {
        loop.perform { [node] in node.ask(body) }
    }

    /// Closes the sockets. Questions under way go unanswered.
    package func close() {
        _ = loop.perform { [self] in
            observer = nil
            relay?.close()
            node.close()
            giveUpQuestions()
        }
    }

    // MARK: On the loop

    func onLoop<Result: Sendable>(
        _ body: @escaping @Sendable (DHTHost, SwarmNode) -> Result
    ) -> Result? {
        loop.perform { [self] in body(self, node) }
    }
}

extension DHTHost: SwarmNodeObserver {
    package func node(_ node: SwarmNode, reports event: DHTEvent) {
        relay?.handle(event)
        switch event {
        case .replied(let id, let reply) where questions[id] != nil: answer(id, reply)
        case .timedOut(let id) where questions[id] != nil: answer(id, nil)
        default: observer?(event)
        }
    }

    package func node(_ node: SwarmNode, isListeningAt relays: [NetworkEndpoint]) {
        relay?.isListening(at: relays)
    }

    /// Nobody has any business with a node that belongs to no share.
    package func node(_ node: SwarmNode, connected stream: SwarmStream, dial: DialID?) {
        stream.abort()
    }

    package func node(_ node: SwarmNode, dialFailed dial: DialID, _ reason: ConnectFailure) {}

    package func nodeChangedNetwork(_ node: SwarmNode) { relay?.networkChanged() }
}
