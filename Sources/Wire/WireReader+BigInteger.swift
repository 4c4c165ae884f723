extension WireReader {
    /// An unsigned integer of any size: a varint count of words, then the words, the least
    /// significant first.
    ///
    /// - Parameter max: the greatest number of words.
    package mutating func readBigUInt(max: Int) throws(WireError) -> [UInt64] {
        let count = try readCount(max: max, minimumElementSize: 8)
        var words: [UInt64] = []
        words.reserveCapacity(count)
        for _ in 0..<count { try words.append(readUInt64()) }
        return words
    }

    /// An array of 32-bit words with a varint element count.
    package mutating func readUInt32Array(
        max: Int = Limits.elementsMax
    ) throws(WireError) -> [UInt32] {
        let count = try readCount(max: max, minimumElementSize: 4)
        var words: [UInt32] = []
        words.reserveCapacity(count)
        for _ in 0..<count { try words.append(readUInt32()) }
        return words
    }
}

extension WireWriter {
    /// The words of an unsigned integer of any size, the least significant first. Leading zero words
    /// are left out; zero is no words.
    package mutating func writeBigUInt(_ words: [UInt64]) {
        let count = (words.lastIndex { $0 != 0 } ?? -1) + 1
        writeUInt(count)
        for word in words.prefix(count) { writeUInt64(word) }
    }

    /// An array of 32-bit words with a varint element count.
    package mutating func writeUInt32Array(_ words: [UInt32]) {
        writeUInt(words.count)
        for word in words { writeUInt32(word) }
    }
}
