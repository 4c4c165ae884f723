import Base
import Testing
import UDX
import Wire

/// Packets of somebody who knows the stream's id and lies about everything else.
struct HostilePacketTests {
    private func hostile(
        _ random: inout SeededRandom, near sequence: UInt32, _ acknowledgement: UInt32
    ) -> [UInt8] {
        func number(_ base: UInt32) -> UInt32 {
            switch random.next() % 4 {
            case 0: base
            case 1: base &+ UInt32(random.next() % 100)
            case 2: base &- UInt32(random.next() % 100)
            default: UInt32(truncatingIfNeeded: random.next())
            }
        }
        let kinds: [UInt8] = [0, 1, 2, 3, 4, 4, 4, 5, 8, 32, 0xcf, 0xff]
        let kind = kinds.randomElement(using: &random) ?? 0
        var body: [UInt8] = []
        if kind & 4 != 0 {
            var writer = WireWriter()
            for _ in 0..<random.next() % 60 {
                let start = number(acknowledgement)
                writer.writeUInt32(start)
                writer.writeUInt32(number(start))
            }
            body = writer.bytes
        } else {
            body = [UInt8](repeating: 0xee, count: Int(random.next() % 2000))
        }
        return StreamPair.packet(
            // Not DESTROY, which ends the game.
            UDXHeader.Kind(rawValue: kind & ~16), to: 1, sequence: number(sequence),
            acknowledgement: number(acknowledgement),
            window: UInt32(truncatingIfNeeded: random.next() >> (random.next() % 64)),
            dataOffset: random.next() % 3 == 0 ? UInt8(truncatingIfNeeded: random.next()) : 0,
            payload: body)
    }

    @Test(arguments: 1...30 as ClosedRange<UInt64>)
    func `lies are survived, and memory stays bounded`(seed: UInt64) {
        print("seed \(seed)")
        var random = SeededRandom(seed: seed)
        var configuration = UDXConfiguration()
        configuration.receiveWindow = 200_000
        var pair = StreamPair(configuration: configuration)
        var got = 0
        for _ in 0..<3000 where !pair.a.isClosed {
            if random.next() % 8 == 0 {
                pair.a.write([UInt8](repeating: 1, count: Int(random.next() % 5000)).span)
            }
            let written = pair.a.unacknowledgedBytes
            pair.toA(hostile(&random, near: UInt32(got), 40))
            #expect(pair.a.unacknowledgedBytes <= written)
            got += pair.receivedByA.isEmpty ? 0 : 1
            // One packet releases at most what the window held.
            #expect(pair.receivedByA.count <= 400_000 + 2000)
            pair.receivedByA.removeAll()
            pair.now = pair.now + .microseconds(Int64(random.next() % 100_000))
            pair.a.advance(now: pair.now, events: &pair.eventsOfA)
            let packets = datagrams { pair.a.flush(now: pair.now, into: &$0) }
            #expect(packets.allSatisfy { $0.count <= 1472 })
            #expect(packets.count < 2000)
            if !pair.a.isClosed { #expect(pair.a.deadline > pair.now, "seed \(seed)") }
        }
    }

    @Test(arguments: 1...20 as ClosedRange<UInt64>)
    func `what was accepted is not changed by repeats that differ`(seed: UInt64) {
        print("seed \(seed)")
        var random = SeededRandom(seed: seed)
        var pair = StreamPair()
        var first: [UInt32: UInt8] = [:]
        for _ in 0..<2000 {
            let sequence = UInt32(random.next() % 100)
            let value = UInt8(truncatingIfNeeded: random.next())
            if first[sequence] == nil { first[sequence] = value }
            pair.toB(StreamPair.packet(.data, sequence: sequence, payload: [value]))
        }
        for (index, byte) in pair.receivedByB.enumerated() {
            #expect(first[UInt32(index)] == byte)
        }
        #expect(pair.receivedByB.count == 100)
    }

    @Test func `what was reported as arrived is delivered`() throws {
        var configuration = UDXConfiguration()
        configuration.receiveWindow = 70_000
        var pair = StreamPair(configuration: configuration)
        var reported: Set<UInt32> = []
        var random = SeededRandom(seed: 5)
        for _ in 0..<500 {
            let sequence = UInt32(1 + random.next() % 200)
            pair.toB(
                StreamPair.packet(
                    .data, sequence: sequence, payload: [UInt8](repeating: 1, count: 1000)))
            for answer in datagrams({ pair.b.flush(now: pair.now, into: &$0) }) {
                var runs = WireReader(answer.span.extracting(droppingFirst: UDXHeader.size))
                while !runs.isAtEnd {
                    let (start, end) = (try runs.readUInt32(), try runs.readUInt32())
                    #expect(start < end)
                    reported.formUnion(start..<end)
                }
            }
        }
        // Everything that was not reported comes again.
        #expect(reported.count > 40)
        #expect(reported.count < 140)
        for sequence in 0...200 as ClosedRange<UInt32> where !reported.contains(sequence) {
            pair.toB(
                StreamPair.packet(
                    .data, sequence: sequence, payload: [UInt8](repeating: 1, count: 1000)))
        }
        #expect(pair.receivedByB.count == 201 * 1000)
    }

    @Test(arguments: [0, 1, 19, 20, 21])
    func `short datagrams and offsets beyond the end are dropped`(count: Int) {
        var pair = StreamPair()
        let packet = StreamPair.packet(.data, dataOffset: 200, payload: [1, 2, 3])
        pair.toB(Array(packet.prefix(count)))
        pair.toB(StreamPair.packet(.data, to: 9, payload: [1]))
        #expect(pair.receivedByB.isEmpty)
        #expect(pair.b.statistics.packetsRefused == 2)
    }

    @Test func `acknowledgements of what was never sent are ignored`() {
        var pair = StreamPair()
        pair.a.write([1, 2, 3].span)
        _ = datagrams { pair.a.flush(now: pair.now, into: &$0) }
        pair.toA(StreamPair.packet(.acknowledgement, to: 1, acknowledgement: 2, payload: []))
        pair.toA(StreamPair.packet(.acknowledgement, to: 1, acknowledgement: .max, payload: []))
        pair.toA(StreamPair.runs(to: 1, acknowledgement: 0, [(0, 2), (5, 1), (.max, 1)]))
        #expect(pair.a.unacknowledgedBytes == 3)
        pair.toA(StreamPair.packet(.acknowledgement, to: 1, acknowledgement: 1, payload: []))
        #expect(pair.a.unacknowledgedBytes == 0)
    }
}
