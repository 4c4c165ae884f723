/// The finalizer of SplitMix64 (Steele, Lea and Flood, 2014): a number's bits, well mixed. Unlike
/// Swift's own hash it is the same in every process.
enum Mixing {
    static func mixed(_ value: UInt64) -> UInt64 {
        var z = value &+ 0x9e37_79b9_7f4a_7c15
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }
}
