internal import Base
internal import Wire

/// Which relays led to a peer, for the next dial. The least recently used peer is forgotten first.
struct DialRelayCache: Sendable {
    private let peersMax: Int
    private var entries: [Bytes32: (relays: [NetworkEndpoint], lastUse: UInt64)] = [:]
    private var uses: UInt64 = 0

    init(peersMax: Int) { self.peersMax = peersMax }

    mutating func relays(of peer: Bytes32) -> [NetworkEndpoint] {
        guard let entry = entries[peer] else { return [] }
        uses += 1
        entries[peer]?.lastUse = uses
        return entry.relays
    }

    mutating func remember(_ relays: [NetworkEndpoint], of peer: Bytes32) {
        guard !relays.isEmpty else { return }
        uses += 1
        if entries[peer] == nil, entries.count >= peersMax,
            let oldest = entries.min(by: { $0.value.lastUse < $1.value.lastUse })
        {
            entries[oldest.key] = nil
        }
        entries[peer] = (relays, uses)
    }
}
