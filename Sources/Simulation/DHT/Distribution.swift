/// Values by rank.
package struct Distribution<Value: Comparable & Sendable>: Sendable {
    private let sorted: [Value]

    init(_ values: some Sequence<Value>) { sorted = values.sorted() }

    package var count: Int { sorted.count }

    /// The value that `share` (0 to 1) of all do not exceed; nil if there is none.
    package func quantile(_ share: Double) -> Value? {
        guard !sorted.isEmpty else { return nil }
        return sorted[min(sorted.count - 1, max(0, Int(share * Double(sorted.count))))]
    }

    package var median: Value? { quantile(0.5) }
}

extension Distribution where Value == Int {
    package var mean: Double {
        sorted.isEmpty ? 0 : Double(sorted.reduce(0, +)) / Double(sorted.count)
    }
}
