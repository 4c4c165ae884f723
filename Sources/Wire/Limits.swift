/// Bounds on what one encoded value may ask for.
package enum Limits {
    /// The greatest integer a varint may carry: 2^53 - 1, what a double holds exactly. Peers that
    /// keep integers in doubles can neither send nor understand more.
    package static let integerMax: UInt64 = (1 << 53) - 1

    /// The greatest element count of an array.
    package static let elementsMax = 1 << 20

    /// How deep a self-describing value may nest: its decoder recurses.
    package static let nestingMax = 32
}
