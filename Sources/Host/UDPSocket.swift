import CLinux
import Glibc
import Wire

/// One bound, non-blocking IPv4 socket of a `UDPEndpoint`, and what the kernel did not take yet.
final class UDPSocket: EventSource {
    let id: SocketID
    let descriptor: Descriptor
    let port: UInt16
    private unowned let endpoint: UDPEndpoint
    var token: UInt64?
    /// Datagrams that wait for room in the kernel's buffer.
    var waiting = DatagramBatch()

    /// - Parameter bufferBytes: of the kernel's buffers; 0 leaves them as they are, for a socket
    ///   that is open for a moment.
    init(
        _ id: SocketID, boundTo address: NetworkEndpoint, bufferBytes: Int32,
        endpoint: UDPEndpoint
    ) throws(HostError) {
        let type = Int32(
            SOCK_DGRAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
        let descriptor = try Descriptor(socket(AF_INET, type, 0), "making a UDP socket")
        holdfast_prepare_datagrams(descriptor.number, bufferBytes, bufferBytes > 0 ? 1 : 0)
        let action =
            address.address == .v4(0)
            ? "using UDP port \(address.port)" : "using UDP at \(address)"
        guard let wanted = SocketAddress(address) else {
            throw .system(code: EAFNOSUPPORT, action: action)
        }
        try check(unsafe wanted.withPointer { unsafe bind(descriptor.number, $0, $1) }, action)
        let bound = unsafe SocketAddress.filled { unsafe getsockname(descriptor.number, $0, $1) }
        guard let own = bound.address else {
            throw .system(code: errno, action: "asking for a socket's own address")
        }
        self.id = id
        self.descriptor = descriptor
        self.endpoint = endpoint
        port = own.port
    }

    func ready(_ events: Readiness) {
        if events.contains(.writable) { endpoint.sendWaiting(on: self) }
        if !events.isDisjoint(with: [.readable, .failed]) { endpoint.receive(on: self) }
    }
}

extension SocketAddress {
    /// - Returns: nil for IPv6, which the DHT does not speak.
    init?(_ endpoint: NetworkEndpoint) {
        guard case .v4(let number) = endpoint.address else { return nil }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = endpoint.port.bigEndian
        address.sin_addr.s_addr = number.bigEndian
        // A sockaddr_in begins with what every sockaddr does; its own size is given.
        let made = unsafe withUnsafePointer(to: address) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe SocketAddress(
                    copying: $0, length: socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard let made else { return nil }
        self = made
    }

    /// The address and port as numbers; an IPv4 address that an IPv6 socket shows becomes IPv4.
    var endpoint: NetworkEndpoint {
        let host = host
        if host.count == 4 || isMappedIPv4 {
            let value = host.suffix(4).reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
            return NetworkEndpoint(address: .v4(value), port: port)
        }
        func half(_ bytes: ArraySlice<UInt8>) -> UInt64 { bytes.reduce(0) { $0 << 8 | UInt64($1) } }
        return NetworkEndpoint(
            address: .v6(high: half(host[0..<8]), low: half(host[8..<16])), port: port)
    }
}
