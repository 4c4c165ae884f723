internal import Base

/// One NAT: its mappings and who may answer to them.
struct NATBox: Sendable {
    struct Endpoint: Hashable, Sendable {
        var address: UInt32
        var port: UInt16
    }

    private struct InnerKey: Hashable {
        let inner: Endpoint
        /// nil where one mapping serves every destination.
        let remote: Endpoint?
    }

    private struct Mapping {
        let key: InnerKey
        var usedAt: UInt64
        /// When each remote was last written to; ports are 0 where they are not looked at.
        var permissions: [Endpoint: UInt64] = [:]
        /// The permissions are swept when there are so many.
        var sweepAt = 32
    }

    let behaviour: NATBehaviour
    let outerAddress: UInt32
    /// The realm that the outer address is in, and the one behind this NAT.
    let outerRealm: Int32
    let innerRealm: Int32

    private let timeout: UInt64
    private var portByKey: [InnerKey: UInt16] = [:]
    private var mappings: [UInt16: Mapping] = [:]
    private var sweepAt = 64

    init(
        _ behaviour: NATBehaviour, outerAddress: UInt32, outerRealm: Int32, innerRealm: Int32
    ) {
        self.behaviour = behaviour
        self.outerAddress = outerAddress
        self.outerRealm = outerRealm
        self.innerRealm = innerRealm
        timeout = UInt64(max(0, behaviour.timeout.nanosecondsClamped))
    }

    var mappingCount: Int { mappings.count }

    /// A datagram leaves: the outer port that it gets, nil if it does not pass.
    mutating func translateOutward(
        _ inner: Endpoint, to remote: Endpoint, now: UInt64, random: inout SeededRandom
    ) -> UInt16? {
        guard behaviour.filtering != .everything else { return nil }
        let key = InnerKey(
            inner: inner, remote: behaviour.mapping == .addressAndPortDependent ? remote : nil)
        var port = portByKey[key]
        if let mapped = port, isExpired(mapped, now: now) {
            remove(mapped)
            port = nil
        }
        if port == nil {
            port = freePort(preferring: inner.port, now: now, random: &random)
            if let port {
                portByKey[key] = port
                mappings[port] = Mapping(key: key, usedAt: now)
            }
        }
        guard let port else { return nil }
        permit(remote, at: port, now: now)
        if mappings.count >= sweepAt { sweep(now: now) }
        return port
    }

    /// A datagram arrives: whom it is for, nil if nobody or if the filter stops it.
    mutating func translateInward(port: UInt16, from remote: Endpoint, now: UInt64) -> Endpoint? {
        guard let mapping = mappings[port] else { return nil }
        if isExpired(port, now: now) {
            remove(port)
            return nil
        }
        if let filter = filterKey(remote) {
            guard let permitted = mapping.permissions[filter], now < permitted &+ timeout else {
                return nil
            }
            if behaviour.refreshesInbound { mappings[port]?.permissions[filter] = now }
        }
        if behaviour.refreshesInbound { mappings[port]?.usedAt = now }
        return mapping.key.inner
    }

    private mutating func permit(_ remote: Endpoint, at port: UInt16, now: UInt64) {
        mappings[port]?.usedAt = now
        guard let filter = filterKey(remote) else { return }
        mappings[port]?.permissions[filter] = now
        guard let mapping = mappings[port], mapping.permissions.count >= mapping.sweepAt else {
            return
        }
        let alive = mapping.permissions.filter { now < $0.value &+ timeout }
        mappings[port]?.permissions = alive
        mappings[port]?.sweepAt = max(32, 2 * alive.count)
    }

    /// nil where the filter looks at nothing.
    private func filterKey(_ remote: Endpoint) -> Endpoint? {
        switch behaviour.filtering {
        case .endpointIndependent: nil
        case .addressDependent: Endpoint(address: remote.address, port: 0)
        case .addressAndPortDependent, .everything: remote
        }
    }

    private func isExpired(_ port: UInt16, now: UInt64) -> Bool {
        guard let mapping = mappings[port] else { return true }
        return now >= mapping.usedAt &+ timeout
    }

    /// The preferred port or a random one above the well-known ones; nil if 64 draws hit used ones.
    private mutating func freePort(
        preferring preferred: UInt16, now: UInt64, random: inout SeededRandom
    ) -> UInt16? {
        if behaviour.preservesPorts, isFree(preferred, now: now) { return preferred }
        for _ in 0..<64 {
            let port = UInt16.random(in: 1024...UInt16.max, using: &random)
            if isFree(port, now: now) { return port }
        }
        return nil
    }

    private mutating func isFree(_ port: UInt16, now: UInt64) -> Bool {
        guard mappings[port] != nil else { return true }
        guard isExpired(port, now: now) else { return false }
        remove(port)
        return true
    }

    private mutating func remove(_ port: UInt16) {
        guard let mapping = mappings.removeValue(forKey: port) else { return }
        portByKey[mapping.key] = nil
    }

    private mutating func sweep(now: UInt64) {
        for port in mappings.keys.filter({ isExpired($0, now: now) }) { remove(port) }
        sweepAt = max(64, 2 * mappings.count)
    }
}
