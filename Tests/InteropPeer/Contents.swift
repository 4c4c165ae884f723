import Base
import Crypto

/// The bytes that both implementations know without telling each other.
enum Contents {
    /// The stream that is echoed, from `offset` on.
    static func stream(from offset: Int, count: Int) -> [UInt8] {
        (offset..<offset + count).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 8) }
    }

    /// The block of a log.
    static func block(_ index: Int, size: Int) -> [UInt8] {
        (0..<size).map { UInt8(truncatingIfNeeded: index &* 7 &+ $0 &* 13) }
    }
}
