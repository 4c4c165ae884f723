internal import Base

/// A table of bounded size and age: two generations, the older one dropped whole when the younger
/// is full or two thirds of the age have passed (`dht.md` 9.3).
///
/// An entry lives between two thirds and four thirds of the age; reading it through `touch` makes
/// it young again.
struct GenerationalCache<Key: Hashable & Sendable, Value: Sendable>: Sendable {
    /// Entries per generation, and bytes by the owner's count.
    private let entriesMax: Int
    private let bytesMax: Int
    private let period: Duration

    private var young: [Key: Value] = [:]
    private var old: [Key: Value] = [:]
    private var youngBytes = 0
    private var turnsAt: Instant

    /// - Parameters:
    ///   - entries: held in both generations together.
    ///   - bytes: as `insert` counts them, in both generations together.
    init(entries: Int, bytes: Int = .max, age: Duration, now: Instant) {
        entriesMax = max(1, entries / 2)
        bytesMax = max(1, bytes / 2)
        period = age * 2 / 3
        turnsAt = now + period
    }

    var count: Int { young.count + old.count }

    func peek(_ key: Key) -> Value? { young[key] ?? old[key] }

    /// Whether the entry is of the younger generation.
    func isYoung(_ key: Key) -> Bool { young[key] != nil }

    /// The value, made young.
    mutating func touch(_ key: Key, size: Int = 0, now: Instant) -> Value? {
        age(now)
        if let value = young[key] { return value }
        guard let value = old.removeValue(forKey: key) else { return nil }
        insert(key, value, size: size, now: now)
        return value
    }

    mutating func insert(_ key: Key, _ value: Value, size: Int = 0, now: Instant) {
        age(now)
        if young[key] == nil, young.count >= entriesMax || youngBytes > bytesMax - size {
            turn(now)
        }
        old[key] = nil
        young[key] = value
        youngBytes += size
    }

    mutating func remove(_ key: Key) {
        young[key] = nil
        old[key] = nil
    }

    mutating func age(_ now: Instant) {
        guard turnsAt <= now else { return }
        // After a long pause both are too old.
        if turnsAt + period <= now {
            young = [:]
            turn(now)
        } else {
            turn(turnsAt)
        }
    }

    /// - Parameter start: of the young generation that begins.
    private mutating func turn(_ start: Instant) {
        old = young
        young = [:]
        youngBytes = 0
        turnsAt = start + period
    }
}
