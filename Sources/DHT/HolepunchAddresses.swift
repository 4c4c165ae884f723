package import Wire

extension NetworkAddress {
    /// Whether the IPv4 address lies in one of the blocks, each a network and its prefix length.
    private func isIn(_ blocks: [(network: UInt32, length: UInt32)]) -> Bool {
        guard case .v4(let value) = self else { return false }
        return blocks.contains { (value ^ $0.network) >> (32 - $0.length) == 0 }
    }

    /// Meant for a network of one's own: 10/8, 100.64/10, 127/8, 169.254/16, 172.16/12, 192.168/16.
    package var isPrivate: Bool {
        isIn([
            (0x0a00_0000, 8), (0x6440_0000, 10), (0x7f00_0000, 8), (0xa9fe_0000, 16),
            (0xac10_0000, 12), (0xc0a8_0000, 16),
        ])
    }

    /// Never a host's: 0/8, 192.0.0/24, 192.0.2/24, 198.18/15, 198.51.100/24, 203.0.113/24, 224/4,
    /// 240/4.
    package var isReserved: Bool {
        isIn([
            (0x0000_0000, 8), (0xc000_0000, 24), (0xc000_0200, 24), (0xc612_0000, 15),
            (0xc633_6400, 24), (0xcb00_7100, 24), (0xe000_0000, 4), (0xf000_0000, 4),
        ])
    }

    /// Not to be met on the open internet.
    package var isBogon: Bool { isPrivate || isReserved }

    /// Whether a datagram may be sent there at a peer's word: one host, not a group of them.
    var isSingleHost: Bool {
        guard case .v4 = self else { return false }
        return !isIn([(0x0000_0000, 8), (0xe000_0000, 4), (0xf000_0000, 4)])
    }

    /// How many leading bytes two IPv4 addresses share, at most 3.
    fileprivate func sharedBytes(with other: NetworkAddress) -> Int {
        guard case .v4(let own) = self, case .v4(let theirs) = other else { return 0 }
        return min(3, (own ^ theirs).leadingZeroBitCount / 8)
    }
}

extension NetworkEndpoint {
    /// Among the other side's addresses the one that most likely lies in a network of ours: the first
    /// that shares three bytes with one of `own`, else two, else one.
    ///
    /// - Returns: nil if none shares even one.
    package static func onSameNetwork(
        own: [NetworkEndpoint], theirs: [NetworkEndpoint]
    ) -> NetworkEndpoint? {
        var best: (shared: Int, endpoint: NetworkEndpoint)?
        for mine in own {
            for candidate in theirs {
                let shared = mine.address.sharedBytes(with: candidate.address)
                if shared == 3 { return candidate }
                if shared > best?.shared ?? 0 { best = (shared, candidate) }
            }
        }
        return best?.endpoint
    }
}
