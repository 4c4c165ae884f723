import CLinux
import Glibc

/// What a service of `Type=notify` tells the service manager that started it, sd_notify(3): one
/// datagram to the socket that `$NOTIFY_SOCKET` names. Nothing without one.
package struct ServiceNotice: Sendable {
    private let path: String?

    /// - Parameter path: the variable; a path, or with `@` an abstract name.
    package init(path: String?) {
        self.path = path.flatMap { $0.hasPrefix("/") || $0.hasPrefix("@") ? $0 : nil }
    }

    /// The service works; what `systemctl status` shows of it.
    package func ready(_ status: String) { send("READY=1\nSTATUS=\(Self.line(status))\n") }

    /// A service works as well if its manager does not hear of it, so errors end here.
    private func send(_ text: String) {
        guard let path else { return }
        let socket = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard socket >= 0 else { return }
        defer { close(socket) }
        var name = Array(path.utf8)
        if name.first == UInt8(ascii: "@") { name[0] = 0 }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let offset = MemoryLayout<sockaddr_un>.size - MemoryLayout.size(ofValue: address.sun_path)
        guard name.count < MemoryLayout.size(ofValue: address.sun_path) else { return }
        // Fewer bytes than there is room for.
        unsafe withUnsafeMutableBytes(of: &address.sun_path) { unsafe $0.copyBytes(from: name) }
        // A path ends with a zero; an abstract name with its length.
        let length = socklen_t(offset + name.count + (path.hasPrefix("/") ? 1 : 0))
        let bytes = Array(text.utf8)
        unsafe withUnsafePointer(to: &address) { pointer in
            // Every socket address begins as a sockaddr does; as many bytes as are said.
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer in
                unsafe _ = sendto(
                    socket, bytes, bytes.count, Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT), pointer,
                    length)
            }
        }
    }

    private static func line(_ text: String) -> String {
        EscapedText.escaped(String(text.prefix(200)))
    }
}
