import Base
import Testing
import UDX
import Wire

/// Transcripts: what goes in, and what must come out.
struct UDXStreamTests {
    let pattern = (0..<100_000).map { UInt8(truncatingIfNeeded: $0 &* 7 >> 3) }

    @Test func `what is written arrives once and in order, and both sides end`() {
        var pair = StreamPair()
        pair.a.write(pattern.span)
        pair.a.finish()
        pair.b.finish()
        pair.settle()
        #expect(pair.receivedByB == pattern)
        #expect(pair.eventsOfA == [.ended, .closed(.finished)])
        #expect(pair.eventsOfB == [.ended, .closed(.finished)])
        #expect(pair.a.deadline == .distantFuture)
        #expect(pair.b.deadline == .distantFuture)
    }

    @Test func `both directions carry data at once, across the end of the numbers`() {
        var pair = StreamPair(firstOfA: .max - 20, firstOfB: 0x7fff_fff0)
        pair.a.write(pattern.span)
        pair.b.write(Array(pattern.reversed()).span)
        pair.settle()
        #expect(pair.receivedByB == pattern)
        #expect(pair.receivedByA == pattern.reversed())
    }

    @Test func `small writes share packets`() {
        var pair = StreamPair()
        for byte in 0..<100 as Range<UInt8> { pair.a.write([byte].span) }
        let packets = datagrams { pair.a.flush(now: pair.now, into: &$0) }
        #expect(packets.map(\.count) == [UDXHeader.size + 100])
        #expect(pair.a.queuedBytes == 0)
        #expect(pair.a.unacknowledgedBytes == 100)
    }

    @Test func `one acknowledgement covers what came since the last, and data carries it`() throws {
        var pair = StreamPair()
        pair.a.write(Array(pattern.prefix(5000)).span)
        for packet in datagrams({ pair.a.flush(now: pair.now, into: &$0) }) { pair.toB(packet) }
        pair.b.write([1].span)
        let answers = datagrams { pair.b.flush(now: pair.now, into: &$0) }
        #expect(answers.count == 1)
        let parsed = try #require(header(of: answers[0]))
        #expect(parsed.kind == .data)
        #expect(parsed.acknowledgement == 5)
    }

    @Test func `nothing is sent for nothing`() {
        var pair = StreamPair()
        #expect(datagrams { pair.a.flush(now: pair.now, into: &$0) }.isEmpty)
        #expect(pair.a.deadline == .distantFuture)
    }

    // MARK: Before connecting

    @Test func `data that comes before connecting is delivered, and acknowledged afterwards`() {
        var late = UDXStream(localID: 2)
        var pair = StreamPair()
        pair.a.write(Array(pattern.prefix(3000)).span)
        for packet in datagrams({ pair.a.flush(now: pair.now, into: &$0) }) {
            late.receive(
                packet.span, now: pair.now, received: &pair.receivedByB, events: &pair.eventsOfB)
        }
        #expect(pair.receivedByB == Array(pattern.prefix(3000)))
        #expect(!late.isConnected)
        #expect(late.deadline == .distantFuture)
        #expect(datagrams { late.flush(now: pair.now, into: &$0) }.isEmpty)
        late.connect(remoteID: 1, remote: StreamPair.endpointOfA, via: .server, now: pair.now)
        #expect(late.deadline <= pair.now)
        pair.b = late
        pair.settle()
        #expect(pair.a.unacknowledgedBytes == 0)
    }

    @Test func `no more than its limit is taken in before connecting`() {
        var configuration = UDXConfiguration()
        configuration.limits.unconnectedBytes = 10_000
        var stream = UDXStream(localID: 2, configuration: configuration)
        var (received, events): ([UInt8], [UDXEvent]) = ([], [])
        for sequence in 0..<100 as Range<UInt32> {
            let packet = StreamPair.packet(
                .data, sequence: sequence, payload: [UInt8](repeating: 1, count: 1000))
            stream.receive(packet.span, now: .zero, received: &received, events: &events)
        }
        #expect(received.count == 10_000)
    }

    // MARK: Ending

    @Test func `one side may end long before the other`() {
        var pair = StreamPair()
        pair.a.finish()
        pair.settle()
        #expect(pair.eventsOfB == [.ended])
        #expect(pair.eventsOfA.isEmpty)
        pair.b.write(pattern.span)
        pair.settle()
        #expect(pair.receivedByA == pattern)
        pair.b.finish()
        pair.settle()
        #expect(pair.eventsOfA == [.ended, .closed(.finished)])
        #expect(pair.eventsOfB == [.ended, .closed(.finished)])
    }

    @Test func `an end that comes before the data waits for it`() {
        var pair = StreamPair()
        pair.toB(StreamPair.packet(.end, sequence: 1, payload: []))
        #expect(pair.eventsOfB.isEmpty)
        pair.toB(StreamPair.packet(.data, sequence: 0, payload: [1, 2]))
        #expect(pair.receivedByB == [1, 2])
        #expect(pair.eventsOfB == [.ended])
        // Nothing comes after the end.
        pair.toB(StreamPair.packet(.data, sequence: 2, payload: [3]))
        #expect(pair.receivedByB == [1, 2])
    }

    @Test func `a lost last acknowledgement is given again as long as the stream is kept`() {
        var pair = StreamPair()
        pair.a.finish()
        pair.b.finish()
        let end = datagrams { pair.a.flush(now: pair.now, into: &$0) }
        pair.toB(end[0])
        pair.settle()
        #expect(pair.b.isClosed)
        pair.toB(end[0])
        #expect(pair.b.deadline <= pair.now)
        #expect(datagrams { pair.b.flush(now: pair.now, into: &$0) }.count == 1)
    }

    @Test func `silence after the other's end is a clean end, if all data arrived`() {
        var pair = StreamPair()
        pair.a.write([1, 2].span)
        pair.settle()
        pair.toA(StreamPair.packet(.end, to: 1, sequence: 0, acknowledgement: 1, payload: []))
        pair.a.finish()
        #expect(pair.waitInVain() == .finished)
    }

    @Test func `silence closes after six time-outs`() {
        var pair = StreamPair()
        let start = pair.now
        pair.a.write([1, 2].span)
        #expect(pair.waitInVain() == .timedOut)
        #expect(pair.a.statistics.timeouts == 6)
        // The first packet, six more, and three probes after each of those.
        #expect(pair.a.statistics.packetsSent == 25)
        #expect(pair.now - start >= .seconds(12))
        #expect(pair.now - start <= .seconds(14))
    }

    @Test func `a stream that was dropped is closed, unless that is old news`() {
        var pair = StreamPair()
        pair.toB(StreamPair.packet(.data, sequence: 0, payload: [9]))
        pair.toB(StreamPair.packet(.destroy, sequence: 0, payload: []))
        #expect(!pair.b.isClosed)
        pair.toB(StreamPair.packet(.destroy, sequence: 7, payload: []))
        #expect(pair.eventsOfB == [.closed(.reset)])
        pair.b.write([1].span)
        #expect(datagrams { pair.b.flush(now: pair.now, into: &$0) }.isEmpty)
    }

    // MARK: Messages

    @Test func `messages pass beside the stream, whatever their number`() {
        var pair = StreamPair()
        let sent = datagrams { pair.a.sendMessage([1, 2, 3].span, into: &$0) }
        for packet in sent + sent { pair.toB(packet) }
        #expect(pair.eventsOfB == [.message([1, 2, 3]), .message([1, 2, 3])])
        #expect(pair.b.deadline == .distantFuture)
        var batch = DatagramBatch()
        #expect(!pair.a.sendMessage([UInt8](repeating: 0, count: 1153).span, into: &batch))
        #expect(batch.isEmpty && batch.bytes.isEmpty)
    }

    // MARK: Backpressure

    @Test func `a full queue is reported when half of it has gone`() {
        var pair = StreamPair()
        pair.a.write([UInt8](repeating: 1, count: 600 << 10).span)
        pair.settle()
        #expect(pair.eventsOfA == [.drained])
        #expect(pair.receivedByB.count == 600 << 10)
    }

    @Test func `a shut window is asked for until it opens`() throws {
        var pair = StreamPair()
        pair.a.write([1].span)
        for packet in datagrams({ pair.a.flush(now: pair.now, into: &$0) }) { pair.toB(packet) }
        pair.b.heldBytes = 4 << 20
        for packet in datagrams({ pair.b.flush(now: pair.now, into: &$0) }) { pair.toA(packet) }
        pair.a.write(pattern.span)
        var questions = 0
        for _ in 0..<20 {
            pair.a.advance(now: pair.now, events: &pair.eventsOfA)
            for packet in datagrams({ pair.a.flush(now: pair.now, into: &$0) }) {
                #expect(try #require(header(of: packet)).kind == .heartbeat)
                questions += 1
                pair.toB(packet)
                for answer in datagrams({ pair.b.flush(now: pair.now, into: &$0) }) {
                    pair.toA(answer)
                }
            }
            #expect(pair.a.deadline > pair.now)
            #expect(pair.a.deadline < .distantFuture)
            pair.now = pair.a.deadline
        }
        #expect(questions == 20)
        #expect(pair.eventsOfA.isEmpty)
        // Opening is told at once.
        pair.b.heldBytes = 0
        #expect(pair.b.deadline <= pair.now)
        pair.settle()
        #expect(pair.receivedByB == [1] + pattern)
    }

    @Test func `a shut window that nobody answers for closes the stream`() {
        var pair = StreamPair()
        pair.a.write([1].span)
        pair.toA(
            StreamPair.packet(
                .acknowledgement, to: 1, sequence: 0, window: 0, payload: []))
        _ = datagrams { pair.a.flush(now: pair.now, into: &$0) }
        #expect(pair.waitInVain() == .timedOut)
    }

    @Test func `what is out of order narrows the window, and never passes it`() {
        var configuration = UDXConfiguration()
        configuration.receiveWindow = 100_000
        var pair = StreamPair(configuration: configuration)
        var windows: [Int] = []
        for sequence in 1..<500 as Range<UInt32> {
            pair.toB(
                StreamPair.packet(
                    .data, sequence: sequence, payload: [UInt8](repeating: 1, count: 1000)))
            for answer in datagrams({ pair.b.flush(now: pair.now, into: &$0) }) {
                windows.append(header(of: answer).map { Int($0.window) } ?? -1)
            }
        }
        #expect(windows.first == 100_000 - 1024)
        #expect(windows.last == 0)
        pair.toB(StreamPair.packet(.data, sequence: 0, payload: [7]))
        #expect(pair.receivedByB.count > 90_000)
        #expect(pair.receivedByB.count < 140_000)
    }

    // MARK: The path

    @Test func `after a change of address new packets go there, and old ones where they went`() {
        var pair = StreamPair()
        let relay = StreamPair.endpointOfB
        let direct = NetworkEndpoint(address: .v4(0x0a00_0001), port: 9)
        pair.a.write([1].span)
        var batch = DatagramBatch()
        pair.a.flush(now: pair.now, into: &batch)
        pair.a.changeRemote(remoteID: 77, remote: direct, via: .client, now: pair.now)
        pair.a.write([2].span)
        pair.a.flush(now: pair.now, into: &batch)
        #expect(batch.entries.map(\.destination) == [relay, direct])
        #expect(batch.entries.map(\.socket) == [.server, .client])
        let ids = batch.entries.map {
            UDXHeader.parse(batch.bytes.span.extracting($0.range))?.streamID
        }
        #expect(ids == [2, 77])

        // The second arrives: the first is resent where it went.
        batch.removeAll()
        pair.now = pair.now + .milliseconds(50)
        pair.toA(StreamPair.runs(to: 1, acknowledgement: 0, [(1, 2)]))
        while batch.isEmpty, pair.a.deadline < .distantFuture {
            pair.now = max(pair.now, pair.a.deadline)
            pair.a.advance(now: pair.now, events: &pair.eventsOfA)
            pair.a.flush(now: pair.now, into: &batch)
        }
        #expect(batch.entries.map(\.destination) == [relay])
        #expect(pair.eventsOfA.isEmpty)

        pair.toA(StreamPair.packet(.acknowledgement, to: 1, acknowledgement: 2, payload: []))
        #expect(pair.eventsOfA == [.remoteChanged])
        #expect(pair.a.remote == direct)
    }

    @Test func `a change of address with nothing on its way is complete at once`() {
        var pair = StreamPair()
        let direct = NetworkEndpoint(address: .v4(0x0a00_0001), port: 9)
        pair.a.changeRemote(remoteID: 2, remote: direct, via: .client, now: pair.now)
        #expect(pair.a.deadline <= pair.now)
        pair.a.advance(now: pair.now, events: &pair.eventsOfA)
        #expect(pair.eventsOfA == [.remoteChanged])
        var batch = DatagramBatch()
        pair.a.flush(now: pair.now, into: &batch)
        #expect(batch.entries.map(\.destination) == [direct])
        #expect(pair.a.deadline == .distantFuture)
    }

    @Test func `a former path that is gone does not hold the stream up`() {
        var pair = StreamPair()
        let direct = NetworkEndpoint(address: .v4(0x0a00_0001), port: 9)
        var batch = DatagramBatch()
        pair.a.write([1].span)
        pair.a.flush(now: pair.now, into: &batch)
        pair.a.changeRemote(remoteID: 2, remote: direct, via: .server, now: pair.now)
        for _ in 0..<10 where pair.receivedByB.isEmpty {
            pair.now = max(pair.now, pair.a.deadline)
            batch.removeAll()
            pair.a.advance(now: pair.now, events: &pair.eventsOfA)
            pair.a.flush(now: pair.now, into: &batch)
            for entry in batch.entries where entry.destination == direct {
                pair.toB(Array(batch.bytes[entry.range]))
            }
        }
        #expect(pair.receivedByB == [1])
    }

    @Test func `IPv6 leaves less room in a packet`() {
        var stream = UDXStream(localID: 1)
        stream.connect(
            remoteID: 2, remote: .init(address: .v6(high: 1, low: 2), port: 3), via: .server,
            now: .zero)
        stream.write(pattern.span)
        #expect(datagrams { stream.flush(now: .zero, into: &$0) }[0].count == 1200 - 48)
    }

    @Test func `an idle stream asks for an answer if it is told to`() {
        var configuration = UDXConfiguration()
        configuration.keepAlive = .seconds(5)
        var pair = StreamPair(configuration: configuration)
        pair.a.write([1].span)
        pair.settle()
        let next = pair.a.deadline
        #expect(next > pair.now + .seconds(4))
        #expect(next < pair.now + .seconds(6))
        #expect(datagrams { pair.a.flush(now: next, into: &$0) }.map(\.count) == [20])
    }
}
