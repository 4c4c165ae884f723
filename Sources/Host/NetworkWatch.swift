import Base
import CLinux
import Glibc

/// Tells when addresses of this machine come or go (rtnetlink(7)). Confined to its loop's thread.
@safe
final class NetworkWatch: EventSource {
    private let loop: EventLoop
    private let descriptor: Descriptor
    private let changed: () -> Void
    private var token: UInt64?
    private var known: [String]

    init(loop: EventLoop, changed: @escaping () -> Void) throws(HostError) {
        descriptor = try Descriptor(holdfast_watch_addresses(), "watching the network")
        self.loop = loop
        self.changed = changed
        known = Self.addresses
        token = try loop.watch(descriptor.number, for: .readable, self)
    }

    func close() {
        if let token { loop.unwatch(token, descriptor.number) }
        token = nil
    }

    func ready(_ events: Readiness) {
        let buffer = unsafe loop.readBuffer
        // What the messages say is not needed: the addresses are asked for afresh.
        while case .done(let count) = attempt({
            unsafe recv(descriptor.number, buffer.baseAddress, buffer.count, 0)
        }), count > 0 {}
        let current = Self.addresses
        guard current != known else { return }
        known = current
        changed()
    }

    private static var addresses: [String] {
        SocketAddress.ofIPv4Interfaces(port: 0).map { "\($0)" }.sorted()
    }
}
