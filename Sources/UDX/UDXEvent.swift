/// What happened to a stream, for its owner.
package enum UDXEvent: Equatable, Sendable {
    /// One unordered message; it may come twice, or never.
    case message([UInt8])
    /// Everything that the other side wrote has been delivered, and it writes no more.
    case ended
    /// The send queue was above its high-water mark and is now below half of it.
    case drained
    /// Everything sent before `changeRemote` has been acknowledged.
    case remoteChanged
    /// The stream is over. After `.finished` call `flush` once more: it holds the last
    /// acknowledgement.
    case closed(UDXCloseReason)
}

package enum UDXCloseReason: Equatable, Sendable {
    /// Both sides ended, and everything arrived.
    case finished
    /// The other side dropped the stream (DESTROY).
    case reset
    /// The other side has not answered.
    case timedOut
}

/// Counters of one stream since it was made.
package struct UDXStatistics: Equatable, Sendable {
    /// Datagrams and their bytes, headers included.
    package var packetsSent: UInt64 = 0
    package var bytesSent: UInt64 = 0
    package var packetsReceived: UInt64 = 0
    package var bytesReceived: UInt64 = 0
    /// Packets sent again, and packets that were believed lost.
    package var packetsRetransmitted: UInt64 = 0
    package var packetsLost: UInt64 = 0
    /// Times that nothing was heard for so long that everything was in doubt.
    package var timeouts: UInt64 = 0
    /// Packets dropped: malformed, beyond a bound, or not for this stream.
    package var packetsRefused: UInt64 = 0
    /// Stream data that was here already.
    package var packetsDuplicate: UInt64 = 0

    package init() {}
}
