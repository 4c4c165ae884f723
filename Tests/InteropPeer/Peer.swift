import Base
import Crypto
import DHT
import Glibc
import Host
import Wire

/// A node of ours that does what the command line asks for. Confined to the loop's thread.
final class Peer: SwarmNodeObserver, @unchecked Sendable {
    private let options: PeerOptions
    private let keyPair: KeyPair
    private let conversation: (any Conversation)?
    private var sessions: [Session] = []
    private var query: QueryID?
    private var found: Set<Bytes32> = []

    init(_ options: PeerOptions, _ keyPair: KeyPair, _ conversation: (any Conversation)?) {
        self.options = options
        self.keyPair = keyPair
        self.conversation = conversation
    }

    func node(_ node: SwarmNode, connected stream: SwarmStream, dial: DialID?) {
        guard let conversation,
            let session = Session(stream, isInitiator: dial != nil, conversation)
        else { return stream.abort() }
        sessions.append(session)
        session.start()
    }

    func node(_ node: SwarmNode, dialFailed dial: DialID, _ reason: ConnectFailure) {
        fail("\(reason)")
    }

    func node(_ node: SwarmNode, isListeningAt relays: [NetworkEndpoint]) {
        guard !relays.isEmpty else { return }
        EventLines.write("listening", ("key", .text(keyPair.publicKey.hex)))
    }

    func node(_ node: SwarmNode, reports event: DHTEvent) {
        switch event {
        case .ready: begin(node)
        case .queryReply(query, let reply):
            guard let value = reply.value, let lookup = try? LookupReply(decoding: value) else {
                return
            }
            for peer in lookup.peers { found.insert(peer.publicKey) }
        case .queryEnded(query, _, let committed):
            if options.command == "lookup" {
                EventLines.write("found", ("keys", .list(found.map(\.hex).sorted())))
                exit(0)
            }
            EventLines.write("announced", ("nodes", .number(Double(committed))))
        default: break
        }
    }

    func nodeChangedNetwork(_ node: SwarmNode) {}

    private func begin(_ node: SwarmNode) {
        EventLines.write("ready", ("port", .number(Double(node.serverPort ?? 0))))
        do throws(PeerOptions.Mistake) {
            switch options.command {
            case "echo-server", "log-server":
                node.call { core, now, effects in core.listen(now: now, into: &effects) }
            case "echo-client", "log-client":
                let key = try options.key("peer")
                _ = node.call { core, now, effects in
                    core.connect(
                        to: key, relayAddresses: [], relayThrough: nil, now: now, into: &effects)
                }
            case "announce":
                let topic = try options.key("topic")
                query = node.ask { node, now, effects in
                    node.announce(
                        topic, keyPair: keyPair, relayAddresses: [], clear: false, now: now,
                        into: &effects)
                }
            case "lookup":
                let topic = try options.key("topic")
                query = node.ask { node, now, effects in
                    node.lookup(topic, now: now, into: &effects)
                }
            default: fail("no such command")
            }
        } catch {
            fail(error.text)
        }
    }

    private func fail(_ reason: String) {
        EventLines.write("failed", ("reason", .text(reason)))
        exit(1)
    }
}
