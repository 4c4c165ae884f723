package import Base
import CLinux
import Glibc
package import Wire

/// Who gets the datagrams of a `UDPEndpoint`. Calls come on the loop's thread.
package protocol DatagramReceiver: AnyObject {
    /// - Parameter datagram: valid during the call.
    func received(
        _ datagram: Span<UInt8>, from: NetworkEndpoint, on socket: SocketID, now: Instant)
    /// What one call to the kernel brought has been given; there may be more.
    func receivedAll(now: Instant)
}

extension DatagramReceiver {
    package func receivedAll(now: Instant) {}
}

/// The UDP sockets of one node on an event loop, by their numbers.
///
/// Datagrams come in many at a call (`recvmmsg`, and `UDP_GRO` where the kernel joins them) into one
/// buffer, and go out many at a call (`sendmmsg`, and `UDP_SEGMENT` for runs of equal size to one
/// place): in steady state nothing is allocated. What the network refuses is dropped, as the
/// network would; what the kernel has no room for waits, within a bound. Confined to the loop's
/// thread, but for `init`.
@safe
package final class UDPEndpoint: @unchecked Sendable {
    package struct Statistics: Equatable, Sendable {
        package var datagramsIn: UInt64 = 0
        package var datagramsOut: UInt64 = 0
        package var bytesIn: UInt64 = 0
        package var bytesOut: UInt64 = 0
        /// System calls that carried them.
        package var callsIn: UInt64 = 0
        package var callsOut: UInt64 = 0
        /// Datagrams that could not be sent.
        package var refused: UInt64 = 0
    }

    enum Limits {
        /// Bytes that may wait for one socket; what comes beyond is dropped.
        static let waitingBytesMax = 1 << 20
        /// Sockets at once; a puncher behind a random NAT opens 256.
        static let socketsMax = 1024
        static let bufferBytes: Int32 = 4 << 20
        /// Receiving calls on one socket before the others have their turn.
        static let callsPerTurn = 8
        /// What one call takes in: slots of the largest datagram, or of as many joined.
        static let slots = 8
        static let slotBytes = 65536
        /// Datagrams that one `UDP_SEGMENT` call may join, and their bytes (udp(7)).
        static let segmentsMax = 64
        static let runBytesMax = 65000
        /// Runs refused by the kernel whose parts it then took, before no more runs are tried.
        static let refusedRunsMax = 4
    }

    package weak var receiver: (any DatagramReceiver)?
    package private(set) var statistics = Statistics()
    private let loop: EventLoop
    private var sockets: [SocketID: UDPSocket] = [:]
    /// Slots that are filled by one call and emptied before the next.
    private let slots: UnsafeMutablePointer<UInt8>
    private var incoming: [holdfast_incoming]
    private var outgoing: [holdfast_outgoing] = []
    private var refusedRuns = 0
    /// Why datagrams were last refused; nil once one has left again.
    package private(set) var problem: HostError?

    package init(loop: EventLoop) {
        self.loop = loop
        // Freed in deinit; read only as far as a call filled it.
        unsafe slots = .allocate(capacity: Limits.slots * Limits.slotBytes)
        incoming = Array(repeating: holdfast_incoming(), count: Limits.slots)
        outgoing.reserveCapacity(Int(HOLDFAST_DATAGRAMS_MOST))
    }

    deinit { unsafe slots.deallocate() }

    /// Opens a socket and begins to receive.
    ///
    /// - Parameters:
    ///   - address: port 0 for any free one.
    ///   - isBrief: for a socket that punches a hole and may be closed soon.
    /// - Returns: its port.
    @discardableResult
    package func bind(
        _ id: SocketID, to address: NetworkEndpoint, isBrief: Bool = false
    ) throws(HostError) -> UInt16 {
        guard sockets.count < Limits.socketsMax else {
            throw .system(code: EMFILE, action: "making a UDP socket")
        }
        close(id)
        let socket = try UDPSocket(
            id, boundTo: address, bufferBytes: isBrief ? 0 : Limits.bufferBytes, endpoint: self)
        socket.token = try loop.watch(socket.descriptor.number, for: .readable, socket)
        sockets[id] = socket
        return socket.port
    }

    package func close(_ id: SocketID) {
        guard let socket = sockets.removeValue(forKey: id), let token = socket.token else { return }
        socket.token = nil
        loop.unwatch(token, socket.descriptor.number)
    }

    package func closeAll() {
        for id in sockets.keys.sorted(by: { $0.rawValue < $1.rawValue }) { close(id) }
    }

    /// The port of an open socket.
    package func port(of id: SocketID) -> UInt16? { sockets[id]?.port }

    // MARK: Receiving

    func receive(on socket: UDPSocket) {
        // Held once for all that comes: to load a weak reference costs more than to take a datagram.
        let receiver = receiver
        for _ in 0..<Limits.callsPerTurn where socket.token != nil {
            let attempt = attempt {
                // The list has as many rows as there are slots, and each slot its bytes.
                unsafe incoming.withUnsafeMutableBufferPointer {
                    Int(
                        unsafe holdfast_receive_datagrams(
                            socket.descriptor.number, slots, UInt32(Limits.slotBytes),
                            Int32(Limits.slots), $0.baseAddress))
                }
            }
            // Errors here are about datagrams sent earlier: nothing to be done.
            guard case .done(let count) = attempt else { return }
            statistics.callsIn += 1
            let now = monotonicNow()
            for index in 0..<count { deliver(incoming[index], socket.id, to: receiver, now) }
            receiver?.receivedAll(now: now)
            if count < Limits.slots { return }
        }
    }

    private func deliver(
        _ row: holdfast_incoming, _ socket: SocketID, to receiver: (any DatagramReceiver)?,
        _ now: Instant
    ) {
        guard row.length > 0, row.port != 0 else { return }
        let source = NetworkEndpoint(address: .v4(row.address), port: row.port)
        let size = row.segment == 0 ? Int(row.length) : Int(row.segment)
        var offset = Int(row.offset)
        let end = offset + Int(row.length)
        statistics.bytesIn += UInt64(row.length)
        while offset < end {
            let next = min(offset + size, end)
            // Within what the kernel has just filled.
            let datagram = unsafe UnsafeBufferPointer(start: slots + offset, count: next - offset)
            statistics.datagramsIn += 1
            unsafe receiver?.received(datagram.span, from: source, on: socket, now: now)
            offset = next
        }
    }

    // MARK: Sending

    /// Sends the whole batch, as far as the network takes it; the batch may be emptied after.
    package func send(_ batch: borrowing DatagramBatch) {
        var first = 0
        let entries = batch.entries
        while first < entries.count {
            let id = entries[first].socket
            var end = first + 1
            while end < entries.count, entries[end].socket == id { end += 1 }
            if let socket = sockets[id] {
                if socket.waiting.isEmpty {
                    let sent = transmit(batch.bytes, entries[first..<end], on: socket)
                    if sent < end { keep(batch, sent..<end, on: socket) }
                } else {
                    keep(batch, first..<end, on: socket)
                }
            } else {
                statistics.refused += UInt64(end - first)
            }
            first = end
        }
    }

    func sendWaiting(on socket: UDPSocket) {
        let batch = socket.waiting
        let sent = transmit(batch.bytes, batch.entries[...], on: socket)
        socket.waiting.removeAll()
        if sent < batch.entries.count { keep(batch, sent..<batch.entries.count, on: socket) }
        guard socket.waiting.isEmpty, let token = socket.token else { return }
        loop.change(token, socket.descriptor.number, to: .readable)
    }

    private func keep(
        _ batch: borrowing DatagramBatch, _ indices: Range<Int>, on socket: UDPSocket
    ) {
        if socket.waiting.isEmpty, let token = socket.token {
            loop.change(token, socket.descriptor.number, to: [.readable, .writable])
        }
        for entry in batch.entries[indices] {
            guard socket.waiting.bytes.count + entry.range.count <= Limits.waitingBytesMax else {
                statistics.refused += 1
                continue
            }
            socket.waiting.bytes += batch.bytes[entry.range]
            socket.waiting.close(
                to: entry.destination, via: entry.socket, timeToLive: entry.timeToLive)
        }
    }

    /// - Returns: the index of the first entry that has to wait for room; `entries.endIndex` if
    ///   none.
    private func transmit(
        _ bytes: [UInt8], _ entries: ArraySlice<DatagramBatch.Entry>, on socket: UDPSocket
    ) -> Int {
        var next = entries.startIndex
        while next < entries.endIndex {
            let start = next
            // Each row of `outgoing` stands for a run of entries; how many, is found again below.
            fill(entries, &next)
            guard !outgoing.isEmpty else { continue }
            var row = 0
            var index = start
            while row < outgoing.count {
                switch call(bytes, from: row, on: socket) {
                case .done(let sent):
                    for done in row..<(row + sent) { index = count(done, entries, from: index) }
                    row += sent
                case .wouldBlock:
                    return index
                case .failed(let code):
                    index = refused(row, entries, bytes, from: index, code, on: socket)
                    row += 1
                }
            }
        }
        return next
    }

    /// Makes rows of entries from `next` on, joining what the kernel can send as one.
    private func fill(_ entries: ArraySlice<DatagramBatch.Entry>, _ next: inout Int) {
        outgoing.removeAll(keepingCapacity: true)
        var segments = 0
        var isOpen = false
        var last: DatagramBatch.Entry?
        while next < entries.endIndex {
            let entry = entries[next]
            guard case .v4(let address) = entry.destination.address else {
                // Not of this world: ends the fill, so that rows stay runs of neighbours.
                if outgoing.isEmpty {
                    next += 1
                    statistics.refused += 1
                }
                return
            }
            if isOpen, let before = last, segments < Limits.segmentsMax,
                refusedRuns < Limits.refusedRunsMax,
                before.destination == entry.destination, before.timeToLive == entry.timeToLive,
                before.range.upperBound == entry.range.lowerBound,
                let row = outgoing.indices.last
            {
                let size = segments == 1 ? Int(outgoing[row].length) : Int(outgoing[row].segment)
                if entry.range.count <= size, entry.range.count > 0,
                    Int(outgoing[row].length) + entry.range.count <= Limits.runBytesMax
                {
                    outgoing[row].segment = UInt16(size)
                    outgoing[row].length += UInt32(entry.range.count)
                    segments += 1
                    // A shorter one is the last of its run.
                    isOpen = entry.range.count == size
                    last = entry
                    next += 1
                    continue
                }
            }
            guard outgoing.count < Int(HOLDFAST_DATAGRAMS_MOST) else { return }
            outgoing.append(
                holdfast_outgoing(
                    offset: UInt32(entry.range.lowerBound), length: UInt32(entry.range.count),
                    address: address, port: entry.destination.port, segment: 0,
                    time_to_live: entry.timeToLive))
            segments = 1
            isOpen = true
            last = entry
            next += 1
        }
    }

    private func call(_ bytes: [UInt8], from row: Int, on socket: UDPSocket) -> Attempt {
        let attempt = attempt {
            // Rows name ranges of `bytes`, which both live through the call.
            unsafe bytes.withUnsafeBufferPointer { bytes in
                unsafe outgoing.withUnsafeBufferPointer { rows in
                    guard let base = rows.baseAddress else { return 0 }
                    return Int(
                        unsafe holdfast_send_datagrams(
                            socket.descriptor.number, bytes.baseAddress, base + row,
                            Int32(rows.count - row)))
                }
            }
        }
        statistics.callsOut += 1
        return attempt
    }

    /// Counts what row `row` carried as sent.
    ///
    /// - Returns: the index after its last entry.
    private func count(
        _ row: Int, _ entries: ArraySlice<DatagramBatch.Entry>, from index: Int
    ) -> Int {
        let end = endOfRow(row, entries, from: index)
        statistics.datagramsOut += UInt64(end - index)
        statistics.bytesOut += UInt64(outgoing[row].length)
        problem = nil
        return end
    }

    private func endOfRow(
        _ row: Int, _ entries: ArraySlice<DatagramBatch.Entry>, from index: Int
    ) -> Int {
        let end = Int(outgoing[row].offset) + Int(outgoing[row].length)
        var index = index + 1
        while index < entries.endIndex, entries[index].range.upperBound <= end { index += 1 }
        return index
    }

    /// The kernel refused a row. A run is tried again in its parts; a datagram is dropped, as the
    /// network might have done.
    private func refused(
        _ row: Int, _ entries: ArraySlice<DatagramBatch.Entry>, _ bytes: [UInt8],
        from index: Int, _ code: Int32, on socket: UDPSocket
    ) -> Int {
        let end = endOfRow(row, entries, from: index)
        let run = outgoing[row]
        guard run.segment != 0 else {
            statistics.refused += 1
            // Too large for the link: a probe of the path's limit, which has its answer.
            if code != EMSGSIZE {
                problem = .system(code: code, action: "sending to \(entries[index].destination)")
            }
            return end
        }
        var taken = 0
        for entry in entries[index..<end] {
            outgoing[row].offset = UInt32(entry.range.lowerBound)
            outgoing[row].length = UInt32(entry.range.count)
            outgoing[row].segment = 0
            let rest = outgoing[(row + 1)...]
            outgoing.removeSubrange((row + 1)...)
            if case .done = call(bytes, from: row, on: socket) {
                taken += 1
                statistics.datagramsOut += 1
                statistics.bytesOut += UInt64(entry.range.count)
            } else {
                statistics.refused += 1
            }
            outgoing += rest
        }
        // The kernel, or the card, cannot do runs.
        if taken == end - index { refusedRuns += 1 }
        return end
    }
}
