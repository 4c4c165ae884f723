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
    var isPersistent = false
    var isFirewalled = true
    /// Other nodes that it knows.
    var nodes = 0
    var datagramsIn: UInt64 = 0
    var datagramsOut: UInt64 = 0
    var bytesIn: UInt64 = 0
    var bytesOut: UInt64 = 0

    private enum CodingKeys: String, CodingKey {
        case event, address, publicAddress
        case isPersistent = "persistent"
        case isFirewalled = "firewalled"
        case nodes, datagramsIn, datagramsOut, bytesIn, bytesOut
    }

    /// Whether the node is to others what it was.
    func stands(as other: NodeReport) -> Bool {
        publicAddress == other.publicAddress && isPersistent == other.isPersistent
            && isFirewalled == other.isFirewalled
    }

    /// A line for people.
    var text: String {
        switch event {
        case .listening: "listening on \(address) (UDP)"
        case .ready where nodes == 0:
            "no other node has answered yet: this one waits for others, and goes on trying"
        case .ready, .changed: "\(counted(nodes, "node")) known; \(standing)"
        case .counts:
            "\(counted(nodes, "node")) known; \(datagramsIn) datagrams in "
                + "(\(StatusText.size(bytesIn))), \(datagramsOut) out (\(StatusText.size(bytesOut)))"
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

    private func counted(_ count: Int, _ noun: String) -> String {
        count == 1 ? "1 \(noun)" : "\(count) \(noun)s"
    }
}
