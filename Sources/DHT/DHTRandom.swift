package import Base
internal import Crypto

/// Random numbers nobody can guess, from one secret seed: BLAKE2b-256 of a counter, keyed with the
/// seed.
///
/// A node owns one, so that a run is replayed by its seed and no function needs a generator.
package struct DHTRandom: RandomNumberGenerator, Sendable {
    private let seed: Bytes32
    private var counter: UInt64 = 0
    private var words: (UInt64, UInt64) = (0, 0)
    private var wordsLeft = 0

    /// - Parameter seed: 32 bytes from the system's randomness; in a simulation, from its seed.
    package init(seed: Bytes32) { self.seed = seed }

    package mutating func next() -> UInt64 {
        if wordsLeft == 0 {
            words = block().prefix
            wordsLeft = 2
        }
        wordsLeft -= 1
        return wordsLeft == 1 ? words.0 : words.1
    }

    /// Thirty-two random bytes in one step.
    package mutating func bytes32() -> Bytes32 { block() }

    private mutating func block() -> Bytes32 {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(8)
        for shift in 0..<8 {
            bytes.append(UInt8(truncatingIfNeeded: counter &>> UInt64(8 * shift)))
        }
        counter &+= 1
        return Blake2b.hash256(key: seed, bytes)
    }
}
