import CLinux
import Glibc
import Swarm
import Wire

/// An IPv4 or IPv6 address with its port, as the socket calls take it.
@safe
struct SocketAddress: Equatable, @unchecked Sendable {
    /// A `sockaddr_in` or `sockaddr_in6`, byte for byte.
    private var bytes: [UInt8]

    /// Takes what the kernel or the resolver gave.
    ///
    /// - Returns: nil for other families.
    init?(copying address: UnsafePointer<sockaddr>, length: socklen_t) {
        // The caller vouches for `length` bytes.
        let raw = unsafe UnsafeRawBufferPointer(start: address, count: Int(length))
        let least =
            switch Int32(unsafe address.pointee.sa_family) {
            case AF_INET: MemoryLayout<sockaddr_in>.size
            case AF_INET6: MemoryLayout<sockaddr_in6>.size
            default: Int.max
            }
        guard raw.count >= least else { return nil }
        bytes = unsafe Array(raw.prefix(least))
    }

    var family: Int32 {
        // A sockaddr begins with its family, two bytes in the machine's order.
        Int32(UInt16(littleEndian: UInt16(bytes[0]) | UInt16(bytes[1]) << 8))
    }

    var port: UInt16 { UInt16(bytes[2]) << 8 | UInt16(bytes[3]) }

    /// The address proper: 4 or 16 bytes.
    var host: [UInt8] {
        family == AF_INET ? Array(bytes[4..<8]) : Array(bytes[8..<24])
    }

    var isWildcard: Bool { host.allSatisfy { $0 == 0 } }

    func withPointer<Result>(
        _ body: (UnsafePointer<sockaddr>, socklen_t) -> Result
    ) -> Result {
        unsafe bytes.withUnsafeBytes { raw in
            // The bytes were copied from such a structure; arrays are aligned for 16 bytes.
            guard let pointer = unsafe raw.bindMemory(to: sockaddr.self).baseAddress else {
                preconditionFailure("a socket address is never empty")
            }
            return unsafe body(pointer, socklen_t(raw.count))
        }
    }

    /// The number, without the port.
    var hostText: String {
        var text = [CChar](repeating: 0, count: Int(NI_MAXHOST))
        let code = unsafe withPointer { pointer, length in
            // Writes a terminated string within the given size.
            unsafe getnameinfo(
                pointer, length, &text, socklen_t(NI_MAXHOST), nil, 0, NI_NUMERICHOST)
        }
        guard code == 0 else { return "?" }
        return String(decoding: text.prefix { $0 != 0 }.map(UInt8.init), as: UTF8.self)
    }

    var peerAddress: PeerAddress {
        PeerAddress(host: mappedHostText ?? hostText, port: port)
    }

    /// Of an IPv4 address that an IPv6 socket shows as `::ffff:a.b.c.d` (RFC 4291, 2.5.5.2).
    private var mappedHostText: String? {
        guard isMappedIPv4 else { return nil }
        return host.suffix(4).map { "\($0)" }.joined(separator: ".")
    }

    var isMappedIPv4: Bool {
        let host = host
        return host.count == 16 && host.prefix(10).allSatisfy { $0 == 0 } && host[10] == 0xff
            && host[11] == 0xff
    }

    /// What limits count by: the IPv4 address, or the /64 that one IPv6 site has to itself.
    var origin: String {
        if family == AF_INET { return hostText }
        if let mapped = mappedHostText { return mapped }
        return host.prefix(8).map { String($0, radix: 16) }.joined(separator: ":")
    }

    /// What a name or number stands for, in the order to try.
    ///
    /// - Parameter isNumeric: asks no name server, so it cannot block.
    static func resolve(
        _ address: PeerAddress, isNumeric: Bool, forListening: Bool = false
    ) throws(HostError) -> [SocketAddress] {
        var hints = unsafe addrinfo()
        unsafe hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        unsafe hints.ai_flags =
            AI_NUMERICSERV | (isNumeric ? AI_NUMERICHOST : AI_ADDRCONFIG)
            | (forListening ? AI_PASSIVE : 0)
        var list: UnsafeMutablePointer<addrinfo>?
        let code = unsafe getaddrinfo(address.host, "\(address.port)", &hints, &list)
        guard code == 0 else { throw .unknownHost(address.host) }
        defer { unsafe freeaddrinfo(list) }
        var result: [SocketAddress] = []
        var next = unsafe list
        // The list is ours until freeaddrinfo; each entry's address has its length beside it.
        while let entry = unsafe next, result.count < 16 {
            if let pointer = unsafe entry.pointee.ai_addr,
                let found = unsafe SocketAddress(
                    copying: pointer, length: entry.pointee.ai_addrlen), !result.contains(found)
            {
                result.append(found)
            }
            unsafe next = entry.pointee.ai_next
        }
        guard !result.isEmpty else { throw .unknownHost(address.host) }
        return result
    }

    /// What `getsockname`, `getpeername` or `accept` fills in.
    static func filled(
        by call: (UnsafeMutablePointer<sockaddr>, UnsafeMutablePointer<socklen_t>) -> Int32
    ) -> (result: Int32, address: SocketAddress?) {
        var storage = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        // sockaddr_storage has room and alignment for every family.
        return unsafe withUnsafeMutablePointer(to: &storage) { storage in
            unsafe storage.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer in
                let result = unsafe call(pointer, &length)
                guard result >= 0 else { return (result, nil) }
                return unsafe (result, SocketAddress(copying: pointer, length: length))
            }
        }
    }

    /// This machine's own addresses, for hints: those of interfaces that are up; loopback if there
    /// are no others.
    static func ofInterfaces(port: UInt16) -> [PeerAddress] {
        interfaces { _ in true }.map { PeerAddress(host: $0.hostText, port: port) }
    }

    /// The same, IPv4 alone, as numbers.
    static func ofIPv4Interfaces(port: UInt16) -> [NetworkEndpoint] {
        interfaces { $0 == AF_INET }.map {
            NetworkEndpoint(address: $0.endpoint.address, port: port)
        }
    }

    private static func interfaces(_ isWanted: (Int32) -> Bool) -> [SocketAddress] {
        var list: UnsafeMutablePointer<ifaddrs>?
        guard unsafe getifaddrs(&list) == 0 else { return [] }
        defer { unsafe freeifaddrs(list) }
        var outer: [SocketAddress] = []
        var loopback: [SocketAddress] = []
        var next = unsafe list
        // The list is ours until freeifaddrs.
        while let entry = unsafe next {
            unsafe next = entry.pointee.ifa_next
            let flags = unsafe entry.pointee.ifa_flags
            guard flags & UInt32(IFF_UP) != 0,
                let pointer = unsafe entry.pointee.ifa_addr,
                let found = unsafe SocketAddress(
                    copying: pointer, length: socklen_t(MemoryLayout<sockaddr_in6>.size)),
                !found.isLinkLocal, isWanted(found.family)
            else { continue }
            if flags & UInt32(IFF_LOOPBACK) != 0 {
                loopback.append(found)
            } else {
                outer.append(found)
            }
        }
        return outer.isEmpty ? loopback : outer
    }

    private var isLinkLocal: Bool {
        let host = host
        return family == AF_INET6
            ? host[0] == 0xfe && host[1] & 0xc0 == 0x80 : host[0] == 169 && host[1] == 254
    }
}
