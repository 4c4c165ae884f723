package import Base

/// What a simulated link does to datagrams in one direction.
package struct UDXLinkConditions: Equatable, Sendable {
    package var bitsPerSecond = 100e6
    package var delay = Duration.milliseconds(25)
    /// What waits for the link; more is dropped.
    package var queueBytes = 625_000
    /// Shares of the datagrams: lost, delayed by `lateness` more, delivered twice.
    package var loss = 0.0
    package var reordering = 0.0
    package var lateness = Duration.milliseconds(5)
    package var duplication = 0.0
    /// IP packets larger than this vanish.
    package var mtu = 1500

    package init() {}
}

/// One direction of a link: a queue in front of a bottleneck, then a delay, then chance.
package struct UDXLinkPipe: Sendable {
    package struct Delivery: Sendable {
        package let time: Instant
        package let bytes: [UInt8]
        fileprivate let serial: UInt64

        fileprivate func isBefore(_ other: Delivery) -> Bool {
            time != other.time ? time < other.time : serial < other.serial
        }
    }

    /// IPv4 and UDP headers.
    package static let overhead = 28

    package var conditions: UDXLinkConditions
    private var random: SeededRandom
    /// A heap: the earliest first.
    private var waiting: [Delivery] = []
    private var serial: UInt64 = 0
    /// When the bottleneck has sent everything that it was given.
    private var freeAt = Instant.zero
    package private(set) var dropped = 0

    package init(_ conditions: UDXLinkConditions, seed: UInt64) {
        self.conditions = conditions
        random = SeededRandom(seed: seed)
    }

    package var nextDelivery: Instant { waiting.first?.time ?? .distantFuture }

    /// Takes a datagram.
    ///
    /// - Parameter size: of its payload on the wire, if that is not what `bytes` holds.
    package mutating func send(_ bytes: [UInt8], size: Int? = nil, now: Instant) {
        let size = (size ?? bytes.count) + Self.overhead
        let nanosecondsPerByte = 8e9 / conditions.bitsPerSecond
        let backlog = Double(max(0, (freeAt - now).nanosecondsClamped)) / nanosecondsPerByte
        guard size <= conditions.mtu, backlog + Double(size) <= Double(conditions.queueBytes) else {
            dropped += 1
            return
        }
        freeAt = max(freeAt, now) + .nanoseconds(Int64(Double(size) * nanosecondsPerByte))
        if chance(conditions.loss) {
            dropped += 1
            return
        }
        var arrival = freeAt + conditions.delay
        if chance(conditions.reordering) { arrival = arrival + conditions.lateness }
        push(bytes, at: arrival)
        if chance(conditions.duplication) { push(bytes, at: arrival + .microseconds(100)) }
    }

    /// The next datagram if it is due.
    package mutating func receive(now: Instant) -> [UInt8]? {
        guard let first = waiting.first, first.time <= now else { return nil }
        let last = waiting.removeLast()
        if !waiting.isEmpty {
            waiting[0] = last
            sink()
        }
        return first.bytes
    }

    private mutating func chance(_ share: Double) -> Bool {
        share > 0 && Double(random.next() >> 11) * 0x1p-53 < share
    }

    private mutating func push(_ bytes: [UInt8], at time: Instant) {
        serial += 1
        waiting.append(Delivery(time: time, bytes: bytes, serial: serial))
        var child = waiting.count - 1
        while child > 0 {
            let parent = (child - 1) / 2
            guard waiting[child].isBefore(waiting[parent]) else { return }
            waiting.swapAt(child, parent)
            child = parent
        }
    }

    private mutating func sink() {
        var parent = 0
        while true {
            var least = parent
            for child in [2 * parent + 1, 2 * parent + 2]
            where child < waiting.count && waiting[child].isBefore(waiting[least]) {
                least = child
            }
            guard least != parent else { return }
            waiting.swapAt(parent, least)
            parent = least
        }
    }
}
