import Base

/// How many connections each origin may still open: a token bucket apiece (threat T11).
struct OriginBudget {
    private struct Row {
        var origin: String
        /// In thousandths of a connection; below zero after violations.
        var tokens: Int64
        var updated: Instant
    }

    private var rows: [Row] = []
    private let burst: Int64
    private let rate: Int64
    private let rowsMax: Int

    init(limits: SwarmLimits) {
        burst = Int64(clamping: limits.originBurst) &* 1000
        rate = Int64(clamping: limits.originRate)
        rowsMax = max(1, limits.originsMax)
    }

    /// Takes one connection's worth.
    ///
    /// - Returns: false if the origin has none left.
    mutating func take(_ origin: String, now: Instant) -> Bool {
        let index = row(for: origin, now: now)
        guard rows[index].tokens >= 1000 else { return false }
        rows[index].tokens -= 1000
        return true
    }

    /// Takes `cost` connections' worth, whether there or not, down to an empty bucket's debt.
    mutating func charge(_ origin: String, cost: Int, now: Instant) {
        let index = row(for: origin, now: now)
        rows[index].tokens = max(-burst, rows[index].tokens - Int64(clamping: cost) &* 1000)
    }

    private mutating func row(for origin: String, now: Instant) -> Int {
        if let index = rows.firstIndex(where: { $0.origin == origin }) {
            let elapsed = max(0, (now - rows[index].updated).nanosecondsClamped)
            // A thousandth of a connection takes 1,000,000 / rate nanoseconds.
            let (gained, overflow) = (elapsed / 1_000_000).multipliedReportingOverflow(by: rate)
            guard gained > 0 || overflow else { return index }
            rows[index].tokens =
                overflow ? burst : min(burst, rows[index].tokens &+ min(gained, 2 &* burst))
            rows[index].updated = now
            return index
        }
        let fresh = Row(origin: origin, tokens: burst, updated: now)
        guard rows.count >= rowsMax,
            let quietest = rows.indices.min(by: { rows[$0].updated < rows[$1].updated })
        else {
            rows.append(fresh)
            return rows.count - 1
        }
        rows[quietest] = fresh
        return quietest
    }
}
