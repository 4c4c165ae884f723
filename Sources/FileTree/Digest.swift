package import Base

/// A sum of hashes modulo 2^256: what a set of leaves amounts to, whatever the order they came in.
///
/// Leaves are added and taken away one at a time (AdHash, Bellare and Micciancio 1997).
package struct Digest: Hashable, Sendable {
    // Least significant word first.
    private var a, b, c, d: UInt64

    package static let zero = Digest(a: 0, b: 0, c: 0, d: 0)

    private init(a: UInt64, b: UInt64, c: UInt64, d: UInt64) {
        (self.a, self.b, self.c, self.d) = (a, b, c, d)
    }

    /// The first byte of the hash is the least significant one.
    package init(_ hash: Bytes32) { (a, b, c, d) = hash.words }

    package var bytes: Bytes32 { Bytes32(words: (a, b, c, d)) }

    package static func += (sum: inout Digest, leaf: Digest) {
        var carry: UInt64 = 0
        func add(_ left: UInt64, _ right: UInt64) -> UInt64 {
            let (partial, first) = left.addingReportingOverflow(right)
            let (total, second) = partial.addingReportingOverflow(carry)
            carry = first || second ? 1 : 0
            return total
        }
        sum.a = add(sum.a, leaf.a)
        sum.b = add(sum.b, leaf.b)
        sum.c = add(sum.c, leaf.c)
        sum.d = add(sum.d, leaf.d)
    }

    package static func -= (sum: inout Digest, leaf: Digest) {
        var borrow: UInt64 = 0
        func subtract(_ left: UInt64, _ right: UInt64) -> UInt64 {
            let (partial, first) = left.subtractingReportingOverflow(right)
            let (total, second) = partial.subtractingReportingOverflow(borrow)
            borrow = first || second ? 1 : 0
            return total
        }
        sum.a = subtract(sum.a, leaf.a)
        sum.b = subtract(sum.b, leaf.b)
        sum.c = subtract(sum.c, leaf.c)
        sum.d = subtract(sum.d, leaf.d)
    }
}
