internal import Base
internal import CSodium

/// Brings libsodium up, once; every entry into it passes here first.
enum Sodium {
    static func start() { _ = started }

    /// `sodium_init` picks the fastest code for this processor; it fails only without randomness.
    private static let started: Void = {
        precondition(sodium_init() >= 0, "libsodium could not be initialised")
    }()
}

// The words of a `Bytes32` lie in memory as its bytes only on such machines.
#if !_endian(little)
    #error("Crypto hands the words of Bytes32 to libsodium as bytes: little-endian machines only")
#endif

extension Bytes32 {
    /// The 32 bytes in place, for the duration of `body`.
    @inline(__always)
    func withPointer<Result>(_ body: (UnsafePointer<UInt8>) -> Result) -> Result {
        // A trivial 32-byte value; the pointer covers it and must not leave `body`.
        unsafe withUnsafeBytes(of: self) { buffer in
            let base = unsafe buffer.baseAddress.unsafelyUnwrapped
            return unsafe body(base.assumingMemoryBound(to: UInt8.self))
        }
    }

    /// A value whose 32 bytes `body` writes.
    @inline(__always)
    init(writing body: (UnsafeMutablePointer<UInt8>) -> Void) {
        self = .zero
        // As above; every bit pattern is a value.
        unsafe withUnsafeMutableBytes(of: &self) { buffer in
            let base = unsafe buffer.baseAddress.unsafelyUnwrapped
            unsafe body(base.assumingMemoryBound(to: UInt8.self))
        }
    }
}

extension Span<UInt8> {
    /// The bytes and their number as C takes them. An empty span gives a pointer that is not null
    /// and must not be read.
    @inline(__always)
    func withPointer<Result>(_ body: (UnsafePointer<UInt8>, Int) -> Result) -> Result {
        // The pointer covers the span and must not leave `body`; address 1 comes with count 0.
        unsafe withUnsafeBufferPointer {
            let nothing = unsafe UnsafePointer<UInt8>(bitPattern: 1).unsafelyUnwrapped
            return unsafe body($0.baseAddress ?? nothing, $0.count)
        }
    }
}
