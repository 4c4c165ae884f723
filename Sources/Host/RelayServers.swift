import Base
import DHT
import Noise
import Swarm
import Wire

/// A node's side as a blind relay for others. Confined to its loop's thread.
final class RelayServers {
    private unowned let node: SwarmNode
    private(set) var service: BlindRelayService
    private var connections: [UInt64: RelayConnection] = [:]
    private var effects: [BlindRelayService.Effect] = []
    private var lastLink: UInt64 = 0

    init(node: SwarmNode, limits: BlindRelayLimits) {
        self.node = node
        service = BlindRelayService(limits: limits)
    }

    /// A client has come.
    func accept(_ stream: SwarmStream) {
        lastLink += 1
        let link = lastLink
        guard let key = stream.handshake?.remotePublicKey, let remote = stream.remote,
            let socket = stream.socket, service.opened(link, remote: remote, socket: socket)
        else { return stream.abort() }
        let connection = RelayConnection(
            stream, isClient: false, clientKey: key, now: monotonicNow(),
            heard: { [weak self] in self?.take($0, from: link) },
            ended: { [weak self] in self?.ended(link) })
        guard let connection else { return stream.abort() }
        connections[link] = connection
        connection.start()
    }

    /// A packet for no stream of this node.
    func forward(
        _ packet: Span<UInt8>, streamID: UInt32, from source: NetworkEndpoint,
        on socket: SocketID, now: Instant, into batch: inout DatagramBatch
    ) {
        service.forward(
            packet, streamID: streamID, from: source, on: socket, now: now, into: &batch,
            effects: &effects)
    }

    /// - Returns: when to call again.
    func run(now: Instant) -> Instant {
        var due = service.advance(now: now, into: &effects)
        perform()
        for link in connections.keys.sorted() {
            connections[link]?.run(now: now)
            due = min(due, connections[link]?.dueAt ?? .distantFuture)
        }
        return due
    }

    func close() {
        let all = connections
        connections = [:]
        for (_, connection) in all.sorted(by: { $0.key < $1.key }) { connection.close() }
    }

    private func take(_ message: BlindRelayMessage, from link: UInt64) {
        let node = node
        service.receive(
            message, from: link, now: monotonicNow(),
            makeStreamID: { node.call { core, _, _ in core.makeStreamID() } }, into: &effects)
        perform()
    }

    private func ended(_ link: UInt64) {
        connections[link] = nil
        service.closed(link, into: &effects)
        perform()
    }

    private func perform() {
        guard !effects.isEmpty else { return }
        let happened = effects
        effects.removeAll(keepingCapacity: true)
        for effect in happened {
            switch effect {
            case .send(let link, let message): connections[link]?.send(message)
            case .close(let link, _):
                connections.removeValue(forKey: link)?.close()
                service.closed(link, into: &effects)
            case .free(let streamID): node.call { core, _, _ in core.freeStreamID(streamID) }
            }
        }
    }
}
