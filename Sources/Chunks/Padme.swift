/// Padmé (Nikitin et al. 2019, "Reducing Metadata Leakage from Encrypted Files", §4): size classes
/// that cost at most 12 % and leave only about log log of a length to learn.
enum Padme {
    /// The size class of `length`: the least size not below it whose low bits are zero.
    static func padded(_ length: Int) -> Int {
        guard length > 2 else { return length }
        let exponent = Int.bitWidth - 1 - length.leadingZeroBitCount
        let significant = Int.bitWidth - exponent.leadingZeroBitCount
        guard exponent > significant else { return length }
        let mask = (1 << (exponent - significant)) - 1
        return (length + mask) & ~mask
    }
}

extension ChunkReference {
    /// How many bytes the chunk is on the wire and on a keeper's disk.
    package var ciphertextLength: Int {
        isSealed ? Int(length) : Padme.padded(Int(length))
    }
}
