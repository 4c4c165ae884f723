internal import CSodium

/// Bytes that must not leave the process: locked in memory where the system allows, left out of
/// core dumps, between guard pages, read-only, zeroed when freed (libsodium: `sodium_malloc`).
///
/// Immutable once made, so it may be shared between threads.
@safe
final class SecretMemory: @unchecked Sendable {
    let count: Int
    private let base: UnsafeMutablePointer<UInt8>

    /// - Parameter body: writes all `count` bytes.
    /// - Precondition: memory for it can be had.
    init(count: Int, writing body: (UnsafeMutablePointer<UInt8>) -> Void) {
        Sodium.start()
        guard let memory = unsafe sodium_malloc(count) else {
            preconditionFailure("no memory for a key")
        }
        self.count = count
        // Freshly allocated for `count` bytes and owned by this object alone.
        unsafe base = unsafe memory.bindMemory(to: UInt8.self, capacity: count)
        unsafe body(base)
        // Refused only where the system has no page protection: then the guard is merely weaker.
        _ = unsafe sodium_mprotect_readonly(memory)
    }

    deinit { unsafe sodium_free(base) }

    @inline(__always)
    func withPointer<Result>(_ body: (UnsafePointer<UInt8>) -> Result) -> Result {
        // Valid as long as `self` lives, which this call ensures.
        withExtendedLifetime(self) { unsafe body(UnsafePointer(base)) }
    }
}
