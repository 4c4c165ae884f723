internal import Wire

/// Makes one public address of what other nodes say they see (`dht.md` 7.1).
struct NATSampler: Sendable {
    private static let sampleMax = 16

    /// A counter; port 0 counts the host with any port.
    private struct Count: Sendable {
        let address: PackedEndpoint
        var hits: Int
    }

    /// The counters that the last samples went to, as numbers into `counts`, oldest first.
    private var ring: [(exact: Int, host: Int)] = []
    private var counts: [Count] = []

    private(set) var host: UInt32?
    /// 0 if the nodes disagree about the port.
    private(set) var port: UInt16 = 0

    var sampleCount: Int { ring.count }

    mutating func add(_ address: PackedEndpoint) {
        if ring.count == Self.sampleMax {
            let oldest = ring.removeFirst()
            counts[oldest.exact].hits -= 1
            counts[oldest.host].hits -= 1
        }
        let exact = count(address, among: ring.suffix(4).map(\.exact))
        let host = count(
            PackedEndpoint(host: address.host, port: 0), among: ring.suffix(4).map(\.host))
        ring.append((exact, host))
        judge()
    }

    /// Adds to the counter of `address` if one of the last samples has it; else to a new one, so
    /// that an address of long ago starts again.
    private mutating func count(_ address: PackedEndpoint, among recent: [Int]) -> Int {
        if let index = recent.last(where: { counts[$0].address == address }) {
            counts[index].hits += 1
            return index
        }
        // Places of counters that no sample uses any more are used again.
        let used = Set(ring.flatMap { [$0.exact, $0.host] })
        let fresh = Count(address: address, hits: 1)
        if let free = counts.indices.first(where: { counts[$0].hits <= 0 && !used.contains($0) }) {
            counts[free] = fresh
            return free
        }
        counts.append(fresh)
        return counts.count - 1
    }

    private mutating func judge() {
        let threshold =
            switch ring.count {
            case ..<4: ring.count
            case ..<8: ring.count - 1
            case ..<12: ring.count - 2
            default: ring.count - 3
            }
        // The later sample wins a tie.
        func best(_ numbers: [Int]) -> Count? {
            var best: Count?
            for number in numbers.reversed() where counts[number].hits > best?.hits ?? 0 {
                best = counts[number]
            }
            return best
        }
        if let exact = best(ring.map(\.exact)), exact.hits >= threshold {
            (host, port) = (exact.address.host, exact.address.port)
        } else if let byHost = best(ring.map(\.host)), byHost.hits >= threshold {
            (host, port) = (byHost.address.host, 0)
        } else {
            (host, port) = (nil, 0)
        }
    }
}
