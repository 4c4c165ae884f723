import CLinux
import Glibc

/// Where a daemon and the command line meet: `control.sock` in the share's folder, mode 0600.
package enum ControlSocket {
    package static let name = "control.sock"
    /// Of one request, its newline not counted.
    package static let requestBytesMax = 64 << 10
    /// Of one response, its newline not counted.
    package static let responseBytesMax = 16 << 20

    /// Calls a socket function with the address of the socket in `folder`, however long its path
    /// is: one that does not fit a `sockaddr_un` is reached through the open folder.
    static func withAddress<Result>(
        in folder: String, _ body: (UnsafePointer<sockaddr>, socklen_t) throws(HostError) -> Result
    ) throws(HostError) -> Result {
        let direct = "\(folder)/\(name)"
        if let result = try unsafe withAddress(direct, body) { return result }
        // The path is a terminated copy for the time of the call.
        let opened = unsafe open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        let holder = try Descriptor(opened, "opening \(folder)")
        let through = "/proc/self/fd/\(holder.number)/\(name)"
        guard let result = try unsafe withAddress(through, body) else {
            throw .system(code: ENAMETOOLONG, action: "reaching the socket in \(folder)")
        }
        return result
    }

    /// - Returns: nil if the path is too long.
    private static func withAddress<Result>(
        _ path: String, _ body: (UnsafePointer<sockaddr>, socklen_t) throws(HostError) -> Result
    ) throws(HostError) -> Result? {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let bytes = Array(path.utf8)
        let room = MemoryLayout.size(ofValue: address.sun_path)
        guard bytes.count < room else { return nil }
        // Fewer bytes than room, so that the zero that ends it stays.
        unsafe withUnsafeMutableBytes(of: &address.sun_path) { unsafe $0.copyBytes(from: bytes) }
        let pointed = unsafe withUnsafePointer(to: &address) { pointer in
            // Every socket address begins as a sockaddr does.
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer in
                do throws(HostError) {
                    return Swift.Result<Result, HostError>.success(
                        try unsafe body(pointer, socklen_t(MemoryLayout<sockaddr_un>.size)))
                } catch {
                    return .failure(error)
                }
            }
        }
        return try pointed.get()
    }

    /// A connected socket, or an error; `notRunning` when nobody listens.
    static func connect(in folder: String) throws(HostError) -> Int32 {
        let type = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue)
        let descriptor = socket(AF_UNIX, type, 0)
        try check(descriptor, "making a socket")
        let outcome: Attempt
        do throws(HostError) {
            outcome = try unsafe withAddress(in: folder) { pointer, length in
                attempt { Int(unsafe Glibc.connect(descriptor, pointer, length)) }
            }
        } catch {
            close(descriptor)
            if case .system(ENOENT, _) = error { throw .notRunning }
            throw error
        }
        switch outcome {
        case .done: return descriptor
        case .failed(ECONNREFUSED), .failed(ENOENT), .failed(ENOTDIR):
            close(descriptor)
            throw .notRunning
        case .wouldBlock:
            close(descriptor)
            throw .timedOut("the daemon has too many requests waiting; reaching it")
        case .failed(let code):
            close(descriptor)
            throw .system(code: code, action: "reaching the daemon")
        }
    }

    /// Who is at the other end.
    static func peer(of descriptor: Int32) throws(HostError) -> (user: UInt32, process: Int32) {
        var user: uid_t = 0
        var process: pid_t = 0
        // Both are locals.
        try check(
            unsafe holdfast_peer_credentials(descriptor, &user, &process),
            "asking who is at the other end of a socket")
        return (user, process)
    }
}
