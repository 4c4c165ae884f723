/// One of a node's UDP sockets, by a number of its owner's choice.
package struct SocketID: RawRepresentable, Hashable, Sendable {
    package let rawValue: UInt16
    package init(rawValue: UInt16) { self.rawValue = rawValue }

    /// On the port that others are told: requests leave by it once it is known to be reachable.
    package static let server = SocketID(rawValue: 0)
    /// On a random port: requests leave by it while the node believes that it is firewalled.
    package static let client = SocketID(rawValue: 1)
    /// The lowest number of the sockets that are opened to punch a hole and closed again.
    package static let firstPunch = SocketID(rawValue: 2)
}

/// Datagrams on their way out, back to back in one buffer that is used again and again, so that
/// nothing is allocated per packet.
///
/// A writer appends the bytes of one datagram to `bytes` and calls `close`.
package struct DatagramBatch: Sendable {
    package struct Entry: Equatable, Sendable {
        package let socket: SocketID
        package let destination: NetworkEndpoint
        /// The IP time to live; 0 for the system's own.
        package let timeToLive: UInt8
        /// Into `bytes`.
        package let range: Range<Int>
    }

    /// Append only; what follows the last entry is the datagram being written.
    package var bytes: [UInt8] = []
    package private(set) var entries: [Entry] = []
    /// The end of the last entry.
    private var closedCount = 0

    package init() {}

    package var isEmpty: Bool { entries.isEmpty }

    /// Makes one datagram of what was appended since the last call.
    package mutating func close(
        to destination: NetworkEndpoint, via socket: SocketID, timeToLive: UInt8 = 0
    ) {
        entries.append(
            Entry(
                socket: socket, destination: destination, timeToLive: timeToLive,
                range: closedCount..<bytes.count))
        closedCount = bytes.count
    }

    /// Takes back what was appended since the last `close`.
    package mutating func discardOpen() { bytes.removeLast(bytes.count - closedCount) }

    /// Empties the batch and keeps its memory.
    package mutating func removeAll() {
        bytes.removeAll(keepingCapacity: true)
        entries.removeAll(keepingCapacity: true)
        closedCount = 0
    }
}
