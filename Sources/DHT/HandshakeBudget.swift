internal import Base
internal import Wire

/// How a handshake came. Each way has an account of its own, so that whoever floods one of them
/// leaves the others free.
enum HandshakeLane: Hashable, Sendable {
    /// Straight from the client.
    case direct
    /// Through a node at which we have announced ourselves.
    case relay(NetworkEndpoint)
    /// Through a node that should not know us.
    case stranger
}

/// Which strangers may make this node compute a Noise handshake now.
///
/// Source addresses can be forged, and a relay's word on a client's address is only a word: so each
/// lane is limited as a whole, and within it each client host.
struct HandshakeBudget: Sendable {
    /// A leaky bucket by its time of being empty (the generic cell rate algorithm, ITU-T I.371).
    private struct Account: Sendable {
        private(set) var isEmptyAt = Instant.zero

        func allows(now: Instant, interval: Duration, burst: Int) -> Bool {
            isEmptyAt <= now || isEmptyAt - now <= interval * (burst - 1)
        }

        mutating func charge(now: Instant, interval: Duration) {
            isEmptyAt = max(isEmptyAt, now) + interval
        }
    }

    private struct Lane: Sendable {
        var account = Account()
        var origins: [NetworkAddress: Account] = [:]
        /// Of all hosts that have none of their own.
        var others = Account()
    }

    private let limits: HyperDHTLimits
    private var lanes: [HandshakeLane: Lane] = [:]

    init(limits: HyperDHTLimits) { self.limits = limits }

    /// Charges one handshake, if it may be computed.
    mutating func spend(lane: HandshakeLane, origin: NetworkAddress, now: Instant) -> Bool {
        let (laneRate, laneBurst) =
            lane == .stranger
            ? (limits.handshakesOfStrangersPerSecond, limits.handshakesOfStrangersBurst)
            : (limits.handshakesPerLanePerSecond, limits.handshakesPerLaneBurst)
        let laneInterval = Duration.seconds(1) / max(1, laneRate)
        let originInterval = Duration.seconds(1) / max(1, limits.handshakesPerOriginPerSecond)
        var state = lanes[lane] ?? Lane()
        guard
            state.account.allows(
                now: now, interval: laneInterval, burst: laneBurst)
        else { return false }
        if state.origins[origin] == nil, state.origins.count >= limits.originsPerLaneMax {
            // Only hosts that still owe something need to be remembered.
            state.origins = state.origins.filter { $0.value.isEmptyAt > now }
        }
        let isKnown = state.origins[origin] != nil
        let hasOwn = isKnown || state.origins.count < limits.originsPerLaneMax
        var account = hasOwn ? state.origins[origin] ?? Account() : state.others
        let isAllowed = account.allows(
            now: now, interval: originInterval, burst: limits.handshakesPerOriginBurst)
        if isAllowed {
            account.charge(now: now, interval: originInterval)
            state.account.charge(now: now, interval: laneInterval)
        }
        if hasOwn { state.origins[origin] = account } else { state.others = account }
        lanes[lane] = state
        return isAllowed
    }

    /// Forgets lanes that no longer are.
    mutating func keep(relays: Set<NetworkEndpoint>) {
        lanes = lanes.filter {
            if case .relay(let relay) = $0.key { relays.contains(relay) } else { true }
        }
    }
}
