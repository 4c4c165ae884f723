/// Finds zeros: eight bytes at a time, and runs by looking only where a long one must pass.
enum ZeroScan {
    /// How many zero bytes `bytes` begins with.
    static func prefix(_ bytes: Span<UInt8>) -> Int {
        // The pointer is used only inside the call.
        unsafe bytes.withUnsafeBytes { unsafe zerosEnd(in: $0, from: 0) }
    }

    /// The start of the first run of at least `length` zero bytes.
    ///
    /// - Precondition: `length` is at least 16.
    static func firstRun(of length: Int, in bytes: Span<UInt8>) -> Int? {
        precondition(length >= 16)
        // The pointer is used only inside the call.
        return unsafe bytes.withUnsafeBytes { unsafe firstRun(of: length, in: $0) }
    }

    /// A run of `length` covers a whole word at some multiple of `length / 2`: only those are
    /// looked at, and runs measured where one is zero.
    private static func firstRun(of length: Int, in bytes: UnsafeRawBufferPointer) -> Int? {
        let stride = length / 2
        var probe = 0
        var measured = 0
        while probe <= bytes.count - 8 {
            guard unsafe word(bytes, probe) == 0 else {
                probe += stride
                continue
            }
            let start = unsafe zerosStart(in: bytes, before: probe, notBelow: measured)
            let end = unsafe zerosEnd(in: bytes, from: probe)
            if end - start >= length { return start }
            measured = end
            probe += stride
            while probe < end { probe += stride }
        }
        return nil
    }

    /// The end of the zeros that begin at `start`.
    private static func zerosEnd(in bytes: UnsafeRawBufferPointer, from start: Int) -> Int {
        var end = start
        // Every load is in bounds by the condition of its loop.
        while end <= bytes.count - 32,
            unsafe word(bytes, end) | word(bytes, end + 8) | word(bytes, end + 16)
                | word(bytes, end + 24) == 0
        { end += 32 }
        while end <= bytes.count - 8, unsafe word(bytes, end) == 0 { end += 8 }
        while end < bytes.count, unsafe bytes[end] == 0 { end += 1 }
        return end
    }

    /// The start of the zeros that end at `end`, looked for down to `bound`.
    private static func zerosStart(
        in bytes: UnsafeRawBufferPointer, before end: Int, notBelow bound: Int
    ) -> Int {
        var start = end
        // Every load is in bounds by the condition of its loop.
        while start - 8 >= bound, unsafe word(bytes, start - 8) == 0 { start -= 8 }
        while start - 1 >= bound, unsafe bytes[start - 1] == 0 { start -= 1 }
        return start
    }

    /// Callers keep `offset` at most the count less 8.
    private static func word(_ bytes: UnsafeRawBufferPointer, _ offset: Int) -> UInt64 {
        unsafe bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
    }
}
