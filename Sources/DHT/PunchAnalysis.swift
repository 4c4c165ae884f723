package import Wire

/// What the NAT before one socket does, judged by the addresses at which others saw it
/// (`connect.md` 4.4). The table of that section is `judge`.
package struct PunchAnalysis: Equatable, Sendable {
    private struct Sample: Equatable, Sendable {
        var endpoint: NetworkEndpoint
        var hits = 1
    }

    /// Samples that settle the question.
    package static let samplesWanted = 4
    /// No more are looked at.
    private static let samplesMax = 32

    package private(set) var kind: NATKind
    /// Where others may reach the socket; nil while unknown or open. A random NAT's have port 0.
    package private(set) var addresses: [NetworkEndpoint]?
    /// Nothing more is to be waited for.
    package private(set) var isSettled = false
    package private(set) var sampleCount = 0
    /// What has been told to the other side no longer changes.
    package var isFrozen = false

    /// Most hits first, among equals the older one.
    private var exact: [Sample] = []
    /// The same with port 0.
    private var hosts: [Sample] = []
    private var observers: [NetworkEndpoint] = []

    package init(isFirewalled: Bool) { kind = isFirewalled ? .unknown : .open }

    /// One node's word on where the socket's datagram came from. A second word of the same node is
    /// ignored.
    package mutating func add(
        _ mapped: NetworkEndpoint, from observer: NetworkEndpoint, isFirewalled: Bool
    ) {
        guard sampleCount < Self.samplesMax, !observers.contains(observer) else { return }
        observers.append(observer)
        Self.count(mapped, in: &exact)
        Self.count(NetworkEndpoint(address: mapped.address, port: 0), in: &hosts)
        sampleCount += 1
        if !isFrozen, sampleCount >= 3 || !isFirewalled { update(isFirewalled: isFirewalled) }
        if kind.isConsistent || sampleCount >= Self.samplesWanted { isSettled = true }
    }

    /// Nobody else will be asked.
    package mutating func end() { isSettled = true }

    private mutating func update(isFirewalled: Bool) {
        if !isFirewalled {
            kind = .open
        } else {
            if kind == .open { kind = .unknown }
            if let verdict = judge() { kind = verdict }
        }
        switch kind {
        case .unknown: addresses = nil
        case .open: break
        case .random: addresses = hosts.prefix(1).map(\.endpoint)
        case .consistent:
            addresses = exact.enumerated()
                .filter { $0.offset < 2 || $0.element.hits >= 2 }.map(\.element.endpoint)
        }
    }

    /// - Returns: nil if the samples so far say nothing.
    private func judge() -> NATKind? {
        guard sampleCount >= 3, let best = exact.first else { return nil }
        if best.hits >= 3 { return .consistent }
        if best.hits == 1 { return .random }
        if hosts.count == 1, sampleCount > 3 { return .random }
        if hosts.count > 1, exact.count > 1, exact[1].hits > 1 { return .consistent }
        return sampleCount > Self.samplesWanted ? .random : nil
    }

    private static func count(_ endpoint: NetworkEndpoint, in samples: inout [Sample]) {
        guard var index = samples.firstIndex(where: { $0.endpoint == endpoint }) else {
            return samples.append(Sample(endpoint: endpoint))
        }
        samples[index].hits += 1
        while index > 0, samples[index - 1].hits < samples[index].hits {
            samples.swapAt(index, index - 1)
            index -= 1
        }
    }
}
