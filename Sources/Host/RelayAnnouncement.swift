import Base
import Crypto
import DHT
import Swarm
import Wire

/// Lets devices find a blind relay: it listens under its key, and is announced under the topic of
/// all relays. Confined to its loop's thread.
final class RelayAnnouncement: LoopMember {
    private unowned let node: SwarmNode
    private let loop: EventLoop
    private let keyPair: KeyPair
    private var discovery = Discovery()
    private var effects: [Discovery.Effect] = []
    private var session: Discovery.SessionID?
    private var query: QueryID?
    private var replies = 0
    private var random = SecureRandom()

    init(node: SwarmNode, loop: EventLoop, keyPair: KeyPair) {
        self.node = node
        self.loop = loop
        self.keyPair = keyPair
    }

    func handle(_ event: DHTEvent) {
        switch event {
        case .ready:
            node.call { core, now, effects in core.listen(now: now, into: &effects) }
        case .queryReply(query, _): replies += 1
        case .queryEnded(query, _, _):
            query = nil
            discovery.ended(
                BlindRelayMessage.topic, replies: replies, peers: 1, now: monotonicNow(),
                using: &random)
            loop.callAgain()
        default: break
        }
    }

    /// The announcement names the nodes by which the relay is reached, so it waits for them.
    func isListening(at relays: [NetworkEndpoint]) {
        guard !relays.isEmpty else { return }
        if session == nil {
            session = discovery.join(
                BlindRelayMessage.topic, announces: true, looksUp: false, now: monotonicNow())
            loop.add(self)
        }
        loop.callAgain()
    }

    func networkChanged() { discovery.addressChanged(now: monotonicNow()) }

    func close() { loop.remove(self) }

    func run(now: Instant) -> Instant {
        let due = discovery.advance(now: now, into: &effects)
        for effect in effects {
            guard case .announce(let topic, let clears) = effect else { continue }
            let (keyPair, relays) = (keyPair, node.relayAddresses)
            replies = 0
            query = node.ask { node, now, effects in
                node.announce(
                    topic, keyPair: keyPair, relayAddresses: relays, clear: clears, now: now,
                    into: &effects)
            }
        }
        effects.removeAll(keepingCapacity: true)
        return due
    }
}
