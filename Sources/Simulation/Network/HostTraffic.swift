internal import Base

/// What one host sent and received, whatever became of it on the way.
package struct HostTraffic: Equatable, Sendable {
    package var sent = 0
    package var sentBytes = 0
    package var received = 0
    package var receivedBytes = 0
}

/// A host's line to the network: so many bytes a second, with a queue before it.
struct Uplink: Sendable {
    let bytesPerSecond: Int
    let queueBytesMax: Int
    /// When the last byte of the queue will have left.
    var freeAt: UInt64 = 0
}

extension VirtualNetwork {
    package func traffic(of host: HostID) -> HostTraffic { hosts[host.index].traffic }

    /// Gives the host a line of limited speed outwards; datagrams that find its queue full are lost.
    package mutating func setUplink(
        of host: HostID, bytesPerSecond: Int, queueBytesMax: Int
    ) {
        precondition(bytesPerSecond > 0, "\(bytesPerSecond) bytes a second")
        hosts[host.index].uplink = Uplink(
            bytesPerSecond: bytesPerSecond, queueBytesMax: queueBytesMax)
    }
}

extension VirtualNetwork.Host {
    /// How long a datagram waits until it has left, in nanoseconds; nil if the queue is full.
    mutating func queue(_ count: Int, now: UInt64) -> UInt64? {
        guard var line = uplink else { return 0 }
        let start = max(line.freeAt, now)
        let waiting = Double(start - now) / 1e9 * Double(line.bytesPerSecond)
        guard waiting + Double(count) <= Double(line.queueBytesMax) else { return nil }
        line.freeAt = start + UInt64(count) * 1_000_000_000 / UInt64(line.bytesPerSecond)
        uplink = line
        return line.freeAt - now
    }
}
