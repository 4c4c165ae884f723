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
    mutating func settle() {
        for _ in 0..<100_000 {
            let fromA = datagrams { a.flush(now: now, into: &$0) }
            let fromB = datagrams { b.flush(now: now, into: &$0) }
            for datagram in fromA {
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
