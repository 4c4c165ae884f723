/// The choices of one end of a stream; nothing here needs the other end's consent.
package struct UDXConfiguration: Sendable {
    /// Sizes of IP packets that are tried.
    package struct PathMTU: Equatable, Sendable {
        /// Passes everywhere: where every path starts.
        package var base = 1200
        /// At most 1500: peers read datagrams of up to 1472 bytes.
        package var max = 1500
        /// Whether padded packets look for room above `base`.
        package var isProbing = true

        package init() {}
    }

    package enum Congestion: Equatable, Sendable {
        /// BBR version 1 (Cardwell et al. 2016; draft-cardwell-iccrg-bbr-congestion-control-00).
        case bbr
        /// A window of so many bytes, without pacing: for links that are known, and for tests.
        case fixedWindow(bytes: Int)
    }

    package var pathMTU = PathMTU()
    package var congestion = Congestion.bbr
    /// Bytes that the other side may have on the way, and that out-of-order packets may hold here.
    package var receiveWindow = 4 << 20
    /// `drained` is reported when the queue has been above this and falls below half of it.
    package var sendQueueHighWater = 512 << 10
    /// If set, an idle stream asks for an acknowledgement so often.
    package var keepAlive: Duration?
    package var limits = UDXLimits()

    package init() {}
}

/// Bounds on what the other side, or the network, can make a stream hold or do.
package struct UDXLimits: Sendable {
    /// Payload bytes taken in before `connect`.
    package var unconnectedBytes = 256 << 10
    /// Packets between the oldest unacknowledged and the newest, however large the peer's window.
    package var packetsOutstanding = 32768
    /// Bytes sent and kept because an older packet is not acknowledged.
    package var bytesOutstanding = 16 << 20
    /// Runs named in one acknowledgement: as many as fit the smallest path. The reference names 50 and
    /// reads any number.
    package var selectiveRuns = 140
    /// Time-outs of one packet, or unanswered questions about a closed window, before the stream is
    /// given up.
    package var timeouts = 6

    package init() {}
}
