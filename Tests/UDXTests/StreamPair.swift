import Base
import Testing
import UDX
import Wire

/// Two connected streams with a wire of no length between them.
struct StreamPair {
    static let endpointOfA = NetworkEndpoint(address: .v4(0x7f00_0001), port: 1)
    static let endpointOfB = NetworkEndpoint(address: .v4(0x7f00_0001), port: 2)

    var a: UDXStream
    var b: UDXStream
    var now = Instant(nanoseconds: 1_000_000_000)
    var receivedByA: [UInt8] = []
    var receivedByB: [UInt8] = []
    var eventsOfA: [UDXEvent] = []
    var eventsOfB: [UDXEvent] = []

    init(
        configuration: UDXConfiguration = UDXConfiguration(), firstOfA: UInt32 = 0,
        firstOfB: UInt32 = 0
    ) {
        a = UDXStream(
            localID: 1, configuration: configuration, firstSequence: firstOfA,
            firstExpected: firstOfB)
        b = UDXStream(
            localID: 2, configuration: configuration, firstSequence: firstOfB,
            firstExpected: firstOfA)
        a.connect(remoteID: 2, remote: Self.endpointOfB, via: .server, now: now)
        b.connect(remoteID: 1, remote: Self.endpointOfA, via: .server, now: now)
    }

    /// Lets packets cross until neither side has anything to say.
    ///
    /// - Parameter observe: sees every datagram of a's.
    mutating func settle(observe: ([UInt8]) -> Void = { _ in }) {
        for _ in 0..<100_000 {
            let fromA = datagrams { a.flush(now: now, into: &$0) }
            let fromB = datagrams { b.flush(now: now, into: &$0) }
            for datagram in fromA {
                observe(datagram)
                b.receive(datagram.span, now: now, received: &receivedByB, events: &eventsOfB)
            }
            for datagram in fromB {
                a.receive(datagram.span, now: now, received: &receivedByA, events: &eventsOfA)
            }
            if fromA.isEmpty, fromB.isEmpty {
                let next = min(a.deadline, b.deadline)
                guard next < now + .milliseconds(20) else { return }
                now = max(now, next)
                a.advance(now: now, events: &eventsOfA)
                b.advance(now: now, events: &eventsOfB)
            }
            now = now + .microseconds(100)
        }
        Issue.record("the two never fall silent")
    }
}

/// The datagrams that `body` puts into a batch.
func datagrams(_ body: (inout DatagramBatch) -> Void) -> [[UInt8]] {
    var batch = DatagramBatch()
    body(&batch)
    return batch.entries.map { Array(batch.bytes[$0.range]) }
}

extension StreamPair {
    mutating func toA(_ datagram: [UInt8]) {
        a.receive(datagram.span, now: now, received: &receivedByA, events: &eventsOfA)
    }

    mutating func toB(_ datagram: [UInt8]) {
        b.receive(datagram.span, now: now, received: &receivedByB, events: &eventsOfB)
    }

    /// Runs a alone, its packets lost, until it closes.
    mutating func waitInVain() -> UDXCloseReason? {
        for _ in 0..<1000 where !a.isClosed {
            _ = datagrams { a.flush(now: now, into: &$0) }
            guard a.deadline < .distantFuture else { return nil }
            now = max(now, a.deadline)
            a.advance(now: now, events: &eventsOfA)
        }
        return a.closeReason
    }

    /// A packet as a peer might lay it out; for b unless told otherwise.
    static func packet(
        _ kind: UDXHeader.Kind, to id: UInt32 = 2, sequence: UInt32 = 0,
        acknowledgement: UInt32 = 0, window: UInt32 = 4 << 20, dataOffset: UInt8 = 0,
        payload: [UInt8]
    ) -> [UInt8] {
        var bytes: [UInt8] = []
        UDXHeader(
            kind: kind, dataOffset: dataOffset, streamID: id, window: window, sequence: sequence,
            acknowledgement: acknowledgement
        ).write(into: &bytes)
        return bytes + payload
    }

    /// An acknowledgement with runs.
    static func runs(
        to id: UInt32, acknowledgement: UInt32, _ runs: [(UInt32, UInt32)]
    ) -> [UInt8] {
        var body = WireWriter()
        for (start, end) in runs {
            body.writeUInt32(start)
            body.writeUInt32(end)
        }
        return packet(.selective, to: id, acknowledgement: acknowledgement, payload: body.bytes)
    }
}

/// The header of a datagram; nil if it has none.
func header(of datagram: [UInt8]) -> UDXHeader? { UDXHeader.parse(datagram.span) }
