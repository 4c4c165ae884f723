internal import Base
internal import Crypto
internal import DHT
internal import Wire

/// One persistent node and whoever writes to it, under any address that the writer likes.
struct LoneNode {
    static let unixMillisecondsAtZero: UInt64 = 1_735_689_600_000

    let endpoint = NetworkEndpoint(address: .v4(0x0b16_212c), port: 49737)
    let id: Bytes32
    private(set) var node: DHTNode
    var now = Instant(nanoseconds: 1_000_000_000_000)
    private var effects = DHTEffects()
    /// Nodes that answer when they are asked.
    private var neighbours: Set<NetworkEndpoint> = []

    /// - Returns: nil never, as `endpoint` is IPv4.
    init?(seed: UInt64) {
        guard let id = NodeID.of(endpoint) else { return nil }
        self.id = id
        var configuration = DHTConfiguration(bootstrap: [], mode: .persistent)
        configuration.isFirewalled = false
        configuration.publicAddress = endpoint
        configuration.unixMillisecondsAtZero = Self.unixMillisecondsAtZero
        var random = SeededRandom(seed: seed)
        node = DHTNode(configuration: configuration, seed: Bytes32(using: &random), now: now)
        node.start(now: now, into: &effects)
        effects.removeAll()
    }

    /// A public address with a /24 of its own for each number below 16 million.
    static func stranger(_ number: Int, port: UInt16 = 5000) -> NetworkEndpoint {
        NetworkEndpoint(
            address: .v4(0x1400_0000 + UInt32(number & 0x3f_ffff) << 8 + 7), port: port)
    }

    /// What the node sends on being sent a datagram, to whomever.
    mutating func send(_ datagram: [UInt8], from source: NetworkEndpoint) -> [(
        to: NetworkEndpoint, bytes: [UInt8]
    )] {
        node.receive(datagram.span, from: source, on: .server, now: now, into: &effects)
        defer { effects.removeAll() }
        return effects.datagrams.entries.map {
            ($0.destination, Array(effects.datagrams.bytes[$0.range]))
        }
    }

    /// The same, for when only the size counts.
    mutating func flood(_ datagram: borrowing [UInt8], from source: NetworkEndpoint) -> Int {
        node.receive(datagram.span, from: source, on: .server, now: now, into: &effects)
        let count = effects.datagrams.entries.count
        effects.removeAll()
        return count
    }

    /// The response to the sender; nil if there is none.
    mutating func ask(_ datagram: [UInt8], from source: NetworkEndpoint) -> RawPacket.Response? {
        send(datagram, from: source).lazy.filter { $0.to == source }
            .compactMap { RawPacket.Response($0.bytes) }.first
    }

    /// Lets time pass, with the node's neighbours answering.
    mutating func wait(_ duration: Duration) {
        let end = now + duration
        while node.deadline <= end {
            now = max(now, node.deadline)
            _ = node.advance(now: now, into: &effects)
            answerAsNeighbours()
        }
        now = end
    }

    /// Fills the table with nodes of the internet.
    mutating func addNeighbours(_ count: Int) {
        for number in 0..<count {
            let neighbour = Self.stranger(1_000_000 + number)
            neighbours.insert(neighbour)
            node.receive(
                RawPacket.request(.ping, to: endpoint, id: NodeID.of(neighbour)).span,
                from: neighbour, on: .server, now: now, into: &effects)
            answerAsNeighbours()
            now = now + .milliseconds(100)
        }
    }

    private mutating func answerAsNeighbours() {
        var answered = 0
        while answered < effects.datagrams.entries.count {
            let entry = effects.datagrams.entries[answered]
            answered += 1
            guard neighbours.contains(entry.destination), let id = NodeID.of(entry.destination),
                let request = RequestSummary(
                    effects.datagrams.bytes.span.extracting(entry.range))
            else { continue }
            let pong = RawPacket.pong(transaction: request.transaction, to: endpoint, id: id)
            node.receive(
                pong.span, from: entry.destination, on: entry.socket, now: now, into: &effects)
        }
        effects.removeAll()
    }

    // MARK: What strangers usually ask

    mutating func token(for source: NetworkEndpoint) -> Bytes32? {
        ask(RawPacket.request(.lookup, to: endpoint, target: .zero), from: source)?.token
    }

    func announcement(
        of topic: Bytes32, by keyPair: KeyPair, token: Bytes32,
        relayAddresses: [NetworkEndpoint] = []
    ) -> [UInt8] {
        let message = AnnounceMessage.signed(
            .announce, by: keyPair, target: topic, node: id, token: token,
            relayAddresses: relayAddresses)
        return RawPacket.request(
            .announce, to: endpoint, token: token, target: topic, value: message.encoded())
    }

    /// Whether a lookup by a third party finds the key, or for a self-announcement FIND_PEER does.
    mutating func holds(_ publicKey: Bytes32, under topic: Bytes32) -> Bool {
        let reader = Self.stranger(3_000_000)
        let found = ask(RawPacket.request(.lookup, to: endpoint, target: topic), from: reader)
        if let value = found?.value, let reply = try? LookupReply(decoding: value) {
            return reply.peers.contains { $0.publicKey == publicKey }
        }
        return false
    }
}
