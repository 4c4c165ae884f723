internal import Base
internal import Crypto

/// Makes and checks the tokens that prove that a requester receives at its address (`dht.md` 3.7).
///
/// A token is good for one host, any port, and for 7.5 to 15 seconds: secrets change by the clock,
/// and the one before still counts.
struct TokenIssuer: Sendable {
    static let rotation: Duration = .milliseconds(7500)

    private let seed: Bytes32
    private var generation: UInt64
    private var current: Bytes32
    private var previous: Bytes32

    init(seed: Bytes32, now: Instant) {
        self.seed = seed
        generation = Self.generation(now)
        current = Self.secret(seed, generation)
        previous = Self.secret(seed, generation &- 1)
    }

    mutating func issue(to host: UInt32, now: Instant) -> Bytes32 {
        rotate(now)
        return Self.token(host: host, secret: current)
    }

    mutating func accepts(_ token: Bytes32, from host: UInt32, now: Instant) -> Bool {
        rotate(now)
        return token == Self.token(host: host, secret: current)
            || token == Self.token(host: host, secret: previous)
    }

    /// The token of a host under a secret: the keyed hash of the address as dotted text.
    static func token(host: UInt32, secret: Bytes32) -> Bytes32 {
        var text: [UInt8] = []
        text.reserveCapacity(15)
        for shift: UInt32 in [24, 16, 8, 0] {
            if shift != 24 { text.append(UInt8(ascii: ".")) }
            let byte = UInt8(truncatingIfNeeded: host >> shift)
            if byte >= 100 { text.append(UInt8(ascii: "0") + byte / 100) }
            if byte >= 10 { text.append(UInt8(ascii: "0") + byte / 10 % 10) }
            text.append(UInt8(ascii: "0") + byte % 10)
        }
        return Blake2b.hash256(key: secret, text)
    }

    private mutating func rotate(_ now: Instant) {
        let wanted = Self.generation(now)
        guard wanted != generation else { return }
        previous = wanted == generation &+ 1 ? current : Self.secret(seed, wanted &- 1)
        current = Self.secret(seed, wanted)
        generation = wanted
    }

    private static func generation(_ now: Instant) -> UInt64 {
        // One ahead, so that the first generation has one before it.
        now.nanoseconds / UInt64(rotation.nanosecondsClamped) &+ 1
    }

    private static func secret(_ seed: Bytes32, _ generation: UInt64) -> Bytes32 {
        Blake2b.hash256(
            key: seed, (0..<8).map { UInt8(truncatingIfNeeded: generation >> UInt64(8 * $0)) })
    }
}
