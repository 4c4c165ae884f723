/// The local number of a log: small, stable on one device, meaningless to others.
///
/// Rows and identities name a log by its slot instead of its 32-byte key. Slot 0 is nobody's: the
/// root directory is made under it.
package struct WriterSlot: RawRepresentable, Hashable, Sendable {
    package let rawValue: UInt16

    /// - Precondition: `rawValue` is at most `max`; check outside data first.
    package init(rawValue: UInt16) {
        precondition(rawValue <= Self.max)
        self.rawValue = rawValue
    }

    /// The greatest slot: 13 bits, so that an operation's identity fits 63 bits.
    package static let max: UInt16 = (1 << 13) - 1
    package static let none = WriterSlot(rawValue: 0)
}
