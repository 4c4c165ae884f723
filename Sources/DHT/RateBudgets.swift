internal import Base

/// How much a node does for whom in a second, in three kinds of work, for each origin and for all
/// together: a token bucket each.
///
/// Origins are forgotten when their buckets must be full again, or when there are too many; then
/// the limits for all together still hold.
struct RateBudgets: Sendable {
    enum Work: Int, CaseIterable, Sendable {
        /// Taking in a request.
        case request
        /// Bytes of a reply beyond what the asker's own bytes allow, to an address that has not
        /// shown that it is the asker's (see `DHTNode+Amplification`).
        case unprovenBytes
        /// A write: mostly a signature to check.
        case write
    }

    private struct Bucket: Sendable {
        var levels: InlineArray<3, Float>
        var filledAt: Instant

        mutating func refill(_ rates: [DHTLimits.Rate], _ now: Instant) {
            guard now > filledAt else { return }
            let seconds = Float((now - filledAt).nanosecondsClamped) / 1e9
            for index in levels.indices {
                let rate = rates[index]
                levels[index] = min(
                    Float(rate.burst), levels[index] + seconds * Float(rate.perSecond))
            }
            filledAt = now
        }

        static func full(_ rates: [DHTLimits.Rate], _ now: Instant) -> Bucket {
            var bucket = Bucket(levels: .init(repeating: 0), filledAt: now)
            for index in bucket.levels.indices { bucket.levels[index] = Float(rates[index].burst) }
            return bucket
        }
    }

    private let originRates: [DHTLimits.Rate]
    private let totalRates: [DHTLimits.Rate]
    private let originsMax: Int
    private let lifetime: Duration
    private var total: Bucket
    private var young: [UInt64: Bucket] = [:]
    private var old: [UInt64: Bucket] = [:]
    private var turnsAt: Instant

    init(limits: DHTLimits, now: Instant) {
        originRates = [
            limits.requestsPerOrigin, limits.unprovenBytesPerOrigin, limits.writesPerOrigin,
        ]
        totalRates = [limits.requests, limits.unprovenBytes, limits.writes]
        originsMax = max(1, limits.originsMax / 2)
        // After this an empty bucket is full.
        lifetime = .seconds(
            originRates.map { $0.burst / max(1, $0.perSecond) + 1 }.max() ?? 1)
        total = .full(totalRates, now)
        turnsAt = now + lifetime
    }

    var originCount: Int { young.count + old.count }

    /// Takes `amount` from the origin's budget and from everybody's, if both have it.
    mutating func spend(_ amount: Int, on work: Work, for origin: UInt64, now: Instant) -> Bool {
        total.refill(totalRates, now)
        guard total.levels[work.rawValue] >= Float(amount) else { return false }
        var bucket = take(origin, now)
        bucket.refill(originRates, now)
        let isEnough = bucket.levels[work.rawValue] >= Float(amount)
        if isEnough {
            bucket.levels[work.rawValue] -= Float(amount)
            total.levels[work.rawValue] -= Float(amount)
        }
        young[origin] = bucket
        return isEnough
    }

    private mutating func take(_ origin: UInt64, _ now: Instant) -> Bucket {
        if turnsAt <= now || young.count >= originsMax && young[origin] == nil {
            old = turnsAt + lifetime <= now ? [:] : young
            young = [:]
            turnsAt = now + lifetime
        }
        if let bucket = young[origin] { return bucket }
        return old.removeValue(forKey: origin) ?? .full(originRates, now)
    }
}
