extension Span<UInt8> {
    /// Eight bytes from `index` on, the first the lowest. Traps unless that many are there.
    @inline(__always)
    func word(at index: Int) -> UInt64 {
        // The load checks its bounds, and every pattern of bits is a number.
        UInt64(
            littleEndian: unsafe bytes.unsafeLoadUnaligned(
                fromByteOffset: index, as: UInt64.self))
    }
}
