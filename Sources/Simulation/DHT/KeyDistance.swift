internal import Base

/// How far two keys are apart (Maymounkov and Mazières 2002, §2.1), by their first sixteen bytes: in
/// a network of ten thousand nodes no two are equal in these.
struct KeyDistance: Comparable {
    private let high: UInt64
    private let low: UInt64

    init(_ left: Bytes32, _ right: Bytes32) {
        let (left, right) = (left.prefix, right.prefix)
        high = (left.0 ^ right.0).byteSwapped
        low = (left.1 ^ right.1).byteSwapped
    }

    static func < (left: Self, right: Self) -> Bool {
        left.high != right.high ? left.high < right.high : left.low < right.low
    }
}
