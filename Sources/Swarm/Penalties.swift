import Base

/// Keys that broke the protocol, and until when they are not welcome.
struct Penalties {
    private struct Row {
        var key: Bytes32
        var strikes: Int
        var until: Instant
    }

    private var rows: [Row] = []
    private let rowsMax: Int

    init(limits: SwarmLimits) { rowsMax = max(1, limits.penaltiesMax) }

    func isBarred(_ key: Bytes32, now: Instant) -> Bool {
        rows.contains { $0.key == key && now < $0.until }
    }

    /// Notes a violation.
    ///
    /// - Parameter wait: how long to bar the key that had so many strikes before.
    mutating func strike(_ key: Bytes32, now: Instant, wait: (_ strikes: Int) -> Duration) {
        if let index = rows.firstIndex(where: { $0.key == key }) {
            rows[index].until = now + wait(rows[index].strikes)
            rows[index].strikes += 1
            return
        }
        let fresh = Row(key: key, strikes: 1, until: now + wait(0))
        if rows.count >= rowsMax,
            let soonest = rows.indices.min(by: { rows[$0].until < rows[$1].until })
        {
            rows[soonest] = fresh
        } else {
            rows.append(fresh)
        }
    }
}
