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
        private var account = Account()
        private var origins: [NetworkAddress: Account] = [:]
        /// Of all hosts that have none of their own.
        private var others = Account()
        private var sweptAt = Instant.zero

        mutating func spend(
            rate: Int, burst: Int, origin: NetworkAddress, limits: HyperDHTLimits, now: Instant
        ) -> Bool {
            let interval = Duration.seconds(1) / max(1, rate)
            guard account.allows(now: now, interval: interval, burst: burst) else { return false }
            let originInterval = Duration.seconds(1) / max(1, limits.handshakesPerOriginPerSecond)
            sweep(limits.originsPerLaneMax, now: now)
            let hasOwn = origins[origin] != nil || origins.count < limits.originsPerLaneMax
            var purse = hasOwn ? origins[origin] ?? Account() : others
            guard
                purse.allows(
                    now: now, interval: originInterval, burst: limits.handshakesPerOriginBurst)
            else { return false }
            purse.charge(now: now, interval: originInterval)
            account.charge(now: now, interval: interval)
            if hasOwn { origins[origin] = purse } else { others = purse }
            return true
        }

        /// Only hosts that still owe something need to be remembered; looked at once a second.
        private mutating func sweep(_ originsMax: Int, now: Instant) {
            guard origins.count >= originsMax, now - sweptAt >= .seconds(1) else { return }
            sweptAt = now
            origins = origins.filter { $0.value.isEmptyAt > now }
        }
    }

    private let limits: HyperDHTLimits
    private var lanes: [HandshakeLane: Lane] = [:]

    init(limits: HyperDHTLimits) { self.limits = limits }

    /// Charges one handshake, if it may be computed.
    mutating func spend(lane: HandshakeLane, origin: NetworkAddress, now: Instant) -> Bool {
        let (rate, burst) =
            lane == .stranger
            ? (limits.handshakesOfStrangersPerSecond, limits.handshakesOfStrangersBurst)
            : (limits.handshakesPerLanePerSecond, limits.handshakesPerLaneBurst)
        return lanes[lane, default: Lane()].spend(
            rate: rate, burst: burst, origin: origin, limits: limits, now: now)
    }

    /// Forgets lanes that no longer are.
    mutating func keep(relays: Set<NetworkEndpoint>) {
        lanes = lanes.filter {
            if case .relay(let relay) = $0.key { relays.contains(relay) } else { true }
        }
    }
}
