extension [UInt8] {
    /// The bytes of `span` in an array of their own, copied at once.
    package init(copying span: Span<UInt8>) {
        // The pointer covers exactly the span and does not leave the closure.
        self = unsafe span.withUnsafeBufferPointer { unsafe [UInt8]($0) }
    }

    /// Appends a copy of `span`, at once.
    package mutating func append(copying span: Span<UInt8>) {
        // As above: the pointer does not leave the closure.
        unsafe span.withUnsafeBufferPointer { unsafe append(contentsOf: $0) }
    }
}
