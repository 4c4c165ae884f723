internal import Base
internal import Share

/// A byte stream between two devices: in order, with a delay, so many bytes a second, until it breaks.
final class VirtualLink {
    struct End {
        let device: VirtualDevice
        let id: ConnectionID
        /// Whether the device has not been told of its end.
        var isOpen = true
    }

    private struct Flight {
        let arrival: Instant
        let bytes: [UInt8]
    }

    /// One way: from one end to the other.
    private struct Way {
        var flights: [Flight] = []
        var taken = 0
        var queuedBytes = 0
        var freeAt = Instant(nanoseconds: 0)
    }

    private static let flightSize = 32 << 10

    var ends: [End]
    private var ways = [Way(), Way()]
    private let delay: Duration
    private let bytesPerSecond: UInt64
    /// Nothing arrives any more.
    private(set) var isBroken = false
    /// To be closed for the other end when all has arrived.
    private(set) var isEnding = false

    init(_ first: End, _ second: End, delay: Duration, bytesPerSecond: UInt64) {
        ends = [first, second]
        self.delay = delay
        self.bytesPerSecond = bytesPerSecond
    }

    var isUsable: Bool { !isBroken && !isEnding && ends[0].isOpen && ends[1].isOpen }
    var isGone: Bool { !ends[0].isOpen && !ends[1].isOpen }

    /// - Parameter end: the one that sends.
    func send(_ bytes: [UInt8], from end: Int, now: Instant) {
        guard !isBroken, ends[1 - end].isOpen else { return }
        ways[end].queuedBytes += bytes.count
        ways[end].freeAt = max(ways[end].freeAt, now)
        // On a slow line the beginning of a long message is heard long before its end.
        for start in stride(from: 0, to: bytes.count, by: Self.flightSize) {
            let part = Array(bytes[start...].prefix(Self.flightSize))
            let time = UInt64(part.count) * 1_000_000_000 / bytesPerSecond
            ways[end].freeAt = ways[end].freeAt + .nanoseconds(Int64(time))
            ways[end].flights.append(Flight(arrival: ways[end].freeAt + delay, bytes: part))
        }
    }

    /// When the next bytes arrive at an end.
    func arrival(at end: Int) -> Instant? {
        guard !isBroken else { return nil }
        let way = ways[1 - end]
        return way.taken < way.flights.count ? way.flights[way.taken].arrival : nil
    }

    /// - Returns: what arrives at an end, and how much its sender still waits for.
    func take(at end: Int) -> (bytes: [UInt8], queuedBytes: Int) {
        let bytes = ways[1 - end].flights[ways[1 - end].taken].bytes
        ways[1 - end].taken += 1
        ways[1 - end].queuedBytes -= bytes.count
        if ways[1 - end].taken == ways[1 - end].flights.count {
            ways[1 - end].flights.removeAll(keepingCapacity: true)
            ways[1 - end].taken = 0
        }
        return (bytes, ways[1 - end].queuedBytes)
    }

    /// What is on its way is lost, and nobody is told.
    func breakDown() { isBroken = true }

    /// One end was closed; the other follows once it has all that was sent to it.
    func endGently() { isEnding = true }
}
