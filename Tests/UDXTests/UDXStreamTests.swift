import Base
import Testing
import UDX
import Wire

/// Two streams, one datagram after the other, nothing lost.
struct UDXStreamTests {
    @Test func `what is written arrives once and in order, and both sides end`() {
        var pair = StreamPair()
        let bytes = (0..<100_000).map { UInt8(truncatingIfNeeded: $0 &* 7 >> 3) }
        pair.a.write(bytes.span)
        pair.a.finish()
        pair.b.finish()
        pair.settle()
        #expect(pair.receivedByB == bytes)
        #expect(pair.eventsOfB.contains(.ended))
        #expect(pair.eventsOfA.last == .closed(.finished))
        #expect(pair.eventsOfB.last == .closed(.finished))
    }
}
