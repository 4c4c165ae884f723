internal import CFuse3

/// The libfuse that this program runs with.
package enum FuseLibrary {
    /// As libfuse tells it, such as 3.14.0.
    package static var version: String {
        // A constant of the library's.
        unsafe fuse_pkgversion().map { unsafe String(cString: $0) } ?? "unknown"
    }
}
