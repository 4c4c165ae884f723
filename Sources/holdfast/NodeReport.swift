import DHT
import Host

/// What a node says of itself: when it listens, when it has looked around, when that changes, and
/// once a minute.
struct NodeReport: Encodable, Equatable {
    enum Event: String, Encodable { case listening, ready, changed, counts, stopped }

    var event: Event
    /// Where it listens.
    var address: String
    /// Where others reach it; nil while that is unknown.
    var publicAddress: String?
    /// Others keep it in their tables, and store with it.
    var isPersistent: Bool
    var isFirewalled: Bool
    /// Other nodes that it knows.
    var nodes: Int
    var datagramsIn: UInt64
    var datagramsOut: UInt64
    var bytesIn: UInt64
    var bytesOut: UInt64
    /// What devices name it by; nil unless it is a blind relay.
    var relayKey: String?
    var relayedPairs: Int?
    var relayedBytes: UInt64?

    private enum CodingKeys: String, CodingKey {
        case event, address, publicAddress
        case isPersistent = "persistent"
        case isFirewalled = "firewalled"
        case nodes, datagramsIn, datagramsOut, bytesIn, bytesOut
        case relayKey, relayedPairs, relayedBytes
    }

    init(_ event: Event, address: String, relayKey: String?, _ facts: DHTHost.Facts) {
        self.event = event
        self.address = address
        publicAddress = facts.publicAddress.map { "\($0)" }
        isPersistent = !facts.isEphemeral
        isFirewalled = facts.isFirewalled
        nodes = facts.nodes
        datagramsIn = facts.traffic.datagramsIn
        datagramsOut = facts.traffic.datagramsOut
        bytesIn = facts.traffic.bytesIn
        bytesOut = facts.traffic.bytesOut
        self.relayKey = relayKey
        relayedPairs = relayKey == nil ? nil : facts.relayedPairs
        relayedBytes = relayKey == nil ? nil : facts.relayedBytes
    }

    /// Whether the node is to others what it was.
    func stands(as other: NodeReport) -> Bool {
        publicAddress == other.publicAddress && isPersistent == other.isPersistent
            && isFirewalled == other.isFirewalled
    }

    /// A line for people.
    var text: String {
        switch event {
        case .listening:
            "listening on \(address) (UDP)" + (relayKey.map { "\nblind relay \($0)" } ?? "")
        case .ready where nodes == 0:
            "no other node has answered yet: this one waits for others, and goes on trying"
        case .ready, .changed: "\(counted(nodes, "node")) known; \(standing)"
        case .counts:
            "\(counted(nodes, "node")) known; \(datagramsIn) datagrams in "
                + "(\(StatusText.size(bytesIn))), \(datagramsOut) out (\(StatusText.size(bytesOut)))"
                + relaying
        case .stopped: "stopped"
        }
    }

    private var standing: String {
        let place = publicAddress.map { " at \($0)" } ?? ""
        if isPersistent { return "others reach this node\(place), and store with it" }
        return isFirewalled
            ? "strangers cannot reach this node: it asks and passes on, and stores nothing"
            : "others reach this node\(place); it stores for them once it has been up a while"
    }

    private var relaying: String {
        guard let relayedPairs, let relayedBytes else { return "" }
        return "; \(counted(relayedPairs, "pair")) relayed (\(StatusText.size(relayedBytes)))"
    }

    private func counted(_ count: Int, _ noun: String) -> String {
        count == 1 ? "1 \(noun)" : "\(count) \(noun)s"
    }
}
