import CLinux
import Glibc
import Wire

/// One of the two sockets of a `LANTransport`: one hears the group, the other speaks and hears answers.
/// Confined to its loop's thread.
@safe
final class LANSocket: EventSource {
    /// An interface and its first IPv4 address.
    struct Interface: Equatable {
        let number: Int32
        let address: UInt32

        /// Whatever the routes say.
        static let any = Interface(number: 0, address: 0)
    }

    private let descriptor: Descriptor
    private let group: UInt32
    private let loop: EventLoop
    private let heard: (Span<UInt8>, NetworkEndpoint) -> Void
    private var token: UInt64?

    private static let datagramsPerTurn = 32
    private static let datagramBytesMax = 256

    init(
        _ group: NetworkEndpoint, hears: Bool, loop: EventLoop,
        heard: @escaping (Span<UInt8>, NetworkEndpoint) -> Void
    ) throws(HostError) {
        guard case .v4(let number) = group.address else {
            throw .system(code: EAFNOSUPPORT, action: "using the group \(group)")
        }
        descriptor = try Descriptor(
            holdfast_open_multicast(number, hears ? group.port : 0), "using the group \(group)")
        self.group = number
        self.loop = loop
        self.heard = heard
        token = try loop.watch(descriptor.number, for: .readable, self)
    }

    func close() {
        if let token { loop.unwatch(token, descriptor.number) }
        token = nil
    }

    /// Joining twice is refused by the kernel and changes nothing.
    func join(_ interface: Interface) {
        _ = holdfast_join_multicast(descriptor.number, group, interface.number)
    }

    /// What cannot be sent is lost, as any datagram may be.
    func send(_ bytes: [UInt8], to target: NetworkEndpoint, by interface: Interface) {
        guard case .v4(let number) = target.address else { return }
        unsafe bytes.withUnsafeBytes { bytes in
            // The bytes are read during the call.
            _ = unsafe holdfast_send_from(
                descriptor.number, interface.number, interface.address, number, target.port,
                bytes.baseAddress, UInt32(bytes.count))
        }
    }

    func ready(_ events: Readiness) {
        let buffer = unsafe loop.readBuffer
        for _ in 0..<Self.datagramsPerTurn where token != nil {
            let (count, source) = unsafe SocketAddress.filled { address, length in
                // Writes within the buffer, which is larger.
                Int32(
                    unsafe recvfrom(
                        descriptor.number, buffer.baseAddress, Self.datagramBytesMax, 0, address,
                        length))
            }
            guard count >= 0 else { return }
            guard let source else { continue }
            // Just written by the kernel; valid during the call.
            let datagram = unsafe UnsafeBufferPointer(
                start: buffer.baseAddress?.assumingMemoryBound(to: UInt8.self), count: Int(count))
            unsafe heard(datagram.span, source.endpoint)
        }
    }

    /// Those with an IPv4 address that can carry the group.
    static func interfaces(loopbackOnly: Bool) -> [Interface] {
        var list: UnsafeMutablePointer<ifaddrs>?
        guard unsafe getifaddrs(&list) == 0 else { return [] }
        defer { unsafe freeifaddrs(list) }
        var found: [Interface] = []
        var next = unsafe list
        // The list is ours until freeifaddrs; each entry has its name.
        while let entry = unsafe next {
            unsafe next = entry.pointee.ifa_next
            let flags = unsafe entry.pointee.ifa_flags
            let isLoopback = flags & UInt32(IFF_LOOPBACK) != 0
            guard flags & UInt32(IFF_UP) != 0, isLoopback || !loopbackOnly,
                isLoopback || flags & UInt32(IFF_MULTICAST) != 0,
                let address = unsafe entry.pointee.ifa_addr,
                let socketAddress = unsafe SocketAddress(
                    copying: address, length: socklen_t(MemoryLayout<sockaddr_in>.size)),
                case .v4(let own) = socketAddress.endpoint.address
            else { continue }
            let number = Int32(clamping: unsafe if_nametoindex(entry.pointee.ifa_name))
            if number != 0, !found.contains(where: { $0.number == number }) {
                found.append(Interface(number: number, address: own))
            }
        }
        return found
    }
}
