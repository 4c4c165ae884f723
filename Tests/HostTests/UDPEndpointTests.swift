import Base
import Glibc
import Synchronization
import Testing
import Wire

@testable import Host

/// Notes every datagram that comes.
private final class Catcher: DatagramReceiver, Sendable {
    let caught = Mutex<[(bytes: [UInt8], from: NetworkEndpoint, socket: SocketID)]>([])

    func received(
        _ datagram: Span<UInt8>, from: NetworkEndpoint, on socket: SocketID, now: Instant
    ) {
        var bytes: [UInt8] = []
        for index in 0..<datagram.count { bytes.append(datagram[index]) }
        caught.withLock { [bytes] in $0.append((bytes, from, socket)) }
    }

    func receivedAll(now: Instant) {}

    var count: Int { caught.withLock { $0.count } }
}

private let loopback = NetworkAddress.v4(0x7f00_0001)

/// An endpoint with two sockets on loopback.
private final class Node: Sendable {
    let loop: EventLoop
    let endpoint: UDPEndpoint
    let catcher = Catcher()

    init() throws {
        loop = try EventLoop()
        try loop.start()
        endpoint = UDPEndpoint(loop: loop)
        endpoint.receiver = catcher
        for id in [SocketID.server, .client] {
            #expect(bind(id, to: NetworkEndpoint(address: loopback, port: 0)) == nil)
        }
    }

    /// - Returns: what was wrong.
    func bind(_ id: SocketID, to address: NetworkEndpoint) -> HostError? {
        let failure: HostError?? = loop.perform { [endpoint] in
            do throws(HostError) {
                try endpoint.bind(id, to: address)
                return nil
            } catch {
                return error
            }
        }
        return failure ?? .notRunning
    }

    func address(_ id: SocketID) throws -> NetworkEndpoint {
        let found = loop.perform { [endpoint] in endpoint.port(of: id) }
        let port = try #require(found ?? nil)
        return NetworkEndpoint(address: loopback, port: port)
    }

    func send(_ batch: DatagramBatch) {
        _ = loop.perform { [endpoint] in endpoint.send(batch) }
    }

    var statistics: UDPEndpoint.Statistics {
        loop.perform { [endpoint] in endpoint.statistics } ?? .init()
    }

    func stop() {
        _ = loop.perform { [endpoint] in endpoint.closeAll() }
        loop.stop()
    }
}

@Suite struct UDPEndpointTests {
    @Test func `every datagram of a batch arrives whole, with its source and socket`() throws {
        let (left, right) = (try Node(), try Node())
        defer {
            left.stop()
            right.stop()
        }
        // Runs of equal size, a shorter last one, other places, other sockets, other times to live.
        let sizes = [1200, 1200, 1200, 700, 1200, 1, 30, 1200, 1200, 1400, 1200, 1200]
        var batch = DatagramBatch()
        for (index, size) in sizes.enumerated() {
            batch.bytes += Array(repeating: UInt8(index), count: size)
            batch.close(
                to: try right.address(index == 7 ? .client : .server),
                via: index == 9 ? .client : .server, timeToLive: index == 5 ? 64 : 0)
        }
        left.send(batch)
        #expect(eventually { right.catcher.count == sizes.count })
        let caught = right.catcher.caught.withLock { $0 }
            .sorted { ($0.bytes.first ?? 0) < ($1.bytes.first ?? 0) }
        for (index, size) in sizes.enumerated() where index < caught.count {
            #expect(caught[index].bytes == Array(repeating: UInt8(index), count: size))
            let source = try left.address(index == 9 ? .client : .server)
            #expect(caught[index].from == source)
            #expect(caught[index].socket == (index == 7 ? .client : .server))
        }
    }

    @Test func `many datagrams leave and arrive with few system calls`() throws {
        let (left, right) = (try Node(), try Node())
        defer {
            left.stop()
            right.stop()
        }
        let target = try right.address(.server)
        for _ in 0..<8 {
            var batch = DatagramBatch()
            for _ in 0..<128 {
                batch.bytes += [UInt8](repeating: 9, count: 1200)
                batch.close(to: target, via: .server)
            }
            left.send(batch)
        }
        #expect(eventually { right.catcher.count == 1024 })
        let sent = left.statistics
        #expect(sent.datagramsOut == 1024)
        #expect(sent.callsOut <= 32, "\(sent.callsOut) calls")
        let received = right.statistics
        #expect(received.datagramsIn == 1024 && received.bytesIn == 1024 * 1200)
    }

    @Test func `what the network refuses costs only itself`() throws {
        let (left, right) = (try Node(), try Node())
        defer {
            left.stop()
            right.stop()
        }
        var batch = DatagramBatch()
        // Loopback cannot reach the outside, an IPv6 address has no socket here, and a datagram
        // has at most 65507 bytes.
        batch.bytes += [1, 2, 3]
        batch.close(
            to: NetworkEndpoint(address: .v4(0xc000_0201), port: 9), via: .server)
        batch.bytes += [1, 2, 3]
        batch.close(
            to: NetworkEndpoint(address: .v6(high: 1, low: 2), port: 9), via: .server)
        batch.bytes += [UInt8](repeating: 1, count: 65508)
        batch.close(to: try right.address(.server), via: .server)
        batch.bytes += [4]
        batch.close(to: try right.address(.server), via: SocketID(rawValue: 99))
        batch.bytes += [5]
        batch.close(to: try right.address(.server), via: .server)
        left.send(batch)
        #expect(eventually { right.catcher.count == 1 })
        #expect(left.statistics.refused == 4)
    }

    @Test func `a port in use is said to be`() throws {
        let node = try Node()
        defer { node.stop() }
        let taken = try node.address(.server)
        let failure = node.bind(.firstPunch, to: taken)
        #expect(
            failure == .system(code: EADDRINUSE, action: "using UDP at 127.0.0.1:\(taken.port)"))
    }
}
