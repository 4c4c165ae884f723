import Base
import Foundation
import Testing
import UDX
import Wire

/// The published packets of libudx: read, written, and answered in the same way.
struct VectorTests {
    struct Fields: Decodable {
        struct Run: Decodable, Equatable {
            let start: UInt32
            let end: UInt32
        }

        let type: UInt8
        let dataOffset: UInt8
        let streamId: UInt32
        let recvWindow: UInt32
        let seq: UInt32
        let ack: UInt32
        let payload: String?
        let padding: String?
        let sacks: [Run]?
    }

    struct Case: Decodable {
        let name: String
        let bytes: String?
        let fields: Fields?
        let sentBefore: String?
        let answer: String?
    }

    /// Fields of the one packet, or of each: the decoder takes what has the form.
    static let cases: [Case] = {
        guard
            let url = Bundle.module.url(
                forResource: "udx", withExtension: "json", subdirectory: "Vectors"),
            let data = try? Data(contentsOf: url),
            let objects = try? JSONSerialization.jsonObject(with: data) as? [[String: Any]]
        else { return [] }
        return objects.compactMap { object in
            var object = object
            if object["fields"] is [Any] { object["fields"] = nil }
            guard let one = try? JSONSerialization.data(withJSONObject: object) else { return nil }
            return try? JSONDecoder().decode(Case.self, from: one)
        }
    }()

    private func bytes(_ name: String) throws -> [UInt8] {
        let found = try #require(Self.cases.first { $0.name.hasPrefix(name) }, "\(name)")
        let text = try #require(found.bytes)
        return try #require([UInt8](hex: text))
    }

    /// A stream with the captured one's ids: 11 here, 22 there.
    private func stream(id: UInt32 = 11) -> UDXStream {
        var stream = UDXStream(localID: id)
        stream.connect(
            remoteID: id == 11 ? 22 : 11, remote: StreamPair.endpointOfB, via: .server,
            now: Instant(nanoseconds: 1))
        return stream
    }

    @Test func `the vectors are there`() { #expect(Self.cases.count == 23) }

    @Test(arguments: cases.filter { $0.fields != nil }.map(\.name))
    func `headers are read and written as published`(name: String) throws {
        let vector = try #require(Self.cases.first { $0.name == name })
        let fields = try #require(vector.fields)
        let packet = try bytes(name)
        let parsed = try #require(header(of: packet))
        #expect(parsed.kind.rawValue == fields.type)
        #expect(parsed.dataOffset == fields.dataOffset)
        #expect(parsed.streamID == fields.streamId)
        #expect(parsed.window == fields.recvWindow)
        #expect(parsed.sequence == fields.seq)
        #expect(parsed.acknowledgement == fields.ack)
        var written: [UInt8] = []
        parsed.write(into: &written)
        #expect(written == Array(packet.prefix(UDXHeader.size)))
        let body = packet.dropFirst(UDXHeader.size)
        if let payload = fields.payload {
            #expect(Array(body.dropFirst(Int(parsed.dataOffset))).hex == payload)
        }
        if let padding = fields.padding {
            #expect(Array(body.prefix(Int(parsed.dataOffset))).hex == padding)
        }
    }

    @Test(arguments: ["too short (19 bytes)", "magic 254", "version 2"])
    func `what is not UDX is told apart`(what: String) throws {
        let packet = try bytes("not a udx packet: \(what)")
        let isUDX = UDXHeader.isUDX(packet.span)
        #expect(!isUDX)
        #expect(header(of: packet) == nil)
    }

    @Test func `data leaves as published`() throws {
        var stream = stream()
        var (received, events): ([UInt8], [UDXEvent]) = ([], [])
        stream.write(Array("hello".utf8).span)
        let now = Instant(nanoseconds: 1)
        #expect(
            datagrams { stream.flush(now: now, into: &$0) } == [
                try bytes("first DATA packet")
            ])
        let answer = UDXHeader(
            kind: .acknowledgement, streamID: 11, window: 4 << 20, sequence: 0,
            acknowledgement: 1)
        var packet: [UInt8] = []
        answer.write(into: &packet)
        stream.receive(packet.span, now: now, received: &received, events: &events)
        stream.write(Array("second".utf8).span)
        #expect(
            datagrams { stream.flush(now: now, into: &$0) } == [
                try bytes("second DATA packet")
            ])
    }

    @Test func `a write and an end leave as one packet, which is repeated as it was`() throws {
        var stream = stream()
        var events: [UDXEvent] = []
        stream.write(Array("bye".utf8).span)
        stream.finish()
        let expected = [try bytes("end(\"bye\")")]
        #expect(datagrams { stream.flush(now: Instant(nanoseconds: 1), into: &$0) } == expected)
        let later = stream.deadline
        #expect(later == Instant(nanoseconds: 1) + .seconds(1))
        stream.advance(now: later, events: &events)
        #expect(datagrams { stream.flush(now: later, into: &$0) } == expected)
        #expect(events.isEmpty)
    }

    @Test func `acknowledgements, runs, answers and the end are as published`() throws {
        var (received, events): ([UInt8], [UDXEvent]) = ([], [])
        var stream = stream()
        let now = Instant(nanoseconds: 1)
        // Two packets have left and arrived, as in the capture.
        for text in ["hello", "second"] {
            stream.write(Array(text.utf8).span)
            _ = datagrams { stream.flush(now: now, into: &$0) }
        }
        func answers(_ packet: [UInt8]) -> [String] {
            stream.receive(packet.span, now: now, received: &received, events: &events)
            return datagrams { stream.flush(now: now, into: &$0) }.map {
                // The reference does not count what it holds out of order; we do.
                var answer = $0
                answer.replaceSubrange(8..<12, with: [0, 0, 0x40, 0])
                return answer.hex
            }
        }
        func data(_ sequence: UInt32, _ text: String) -> [UInt8] {
            var packet: [UInt8] = []
            UDXHeader(
                kind: .data, streamID: 11, window: 4 << 20, sequence: sequence, acknowledgement: 2
            ).write(into: &packet)
            return packet + Array(text.utf8)
        }
        func published(_ name: String) throws -> [String] { [try bytes(name).hex] }
        let sent = try #require(Self.cases.first { $0.name.hasPrefix("ACK (type 0)") }?.sentBefore)
        let first = try #require([UInt8](hex: sent))
        #expect(try answers(first) == published("ACK (type 0) of one"))
        #expect(try answers(data(2, "c")) == published("SACK after seq 1"))
        _ = answers(data(3, "d"))
        #expect(try answers(data(5, "f")) == published("SACK with two ranges"))
        #expect(try answers(data(1, "b")) == published("SACK after the first hole"))
        #expect(try answers(data(4, "e")) == published("ACK after all holes"))
        let question = try #require(
            Self.cases.first { $0.name == "answer to a HEARTBEAT" }?.sentBefore)
        let heartbeat = try #require([UInt8](hex: question))
        #expect(try answers(heartbeat) == published("answer to a HEARTBEAT"))
        #expect(
            datagrams { stream.sendMessage(Array("unordered".utf8).span, into: &$0) }.map(\.hex)
                == (try published("MESSAGE")))
        let padded = Self.cases.first { $0.name.hasPrefix("DATA with data offset 3") }
        let answer = try #require(padded?.answer)
        #expect(try answers(bytes("DATA with data offset 3")) == [answer])
        #expect(received == Array("from peerbcdefpayload".utf8))
        stream.finish()
        #expect(
            try datagrams { stream.flush(now: now, into: &$0) }.map(\.hex)
                == published("END without data"))
        #expect(events.isEmpty)
    }

    @Test func `DESTROY leaves as published, and closes the stream that gets it`() throws {
        var (received, events): ([UInt8], [UDXEvent]) = ([], [])
        var leaving = stream()
        leaving.write([1].span)
        _ = datagrams { leaving.flush(now: Instant(nanoseconds: 1), into: &$0) }
        #expect(datagrams { leaving.destroy(into: &$0) } == [try bytes("DESTROY")])
        #expect(datagrams { leaving.destroy(into: &$0) }.isEmpty)
        #expect(leaving.deadline == .distantFuture)

        var staying = stream()
        let packet = try bytes("DESTROY received")
        staying.receive(
            packet.span, now: Instant(nanoseconds: 1), received: &received,
            events: &events)
        #expect(events == [.closed(.reset)])
        #expect(staying.closeReason == .reset)
        #expect(staying.deadline == .distantFuture)
    }

    @Test func `a long write leaves in packets of the published sizes`() {
        var configuration = UDXConfiguration()
        configuration.pathMTU.isProbing = false
        var pair = StreamPair(configuration: configuration)
        pair.a.write([UInt8](repeating: 1, count: 400_000).span)
        var sizes: [Int: Int] = [:]
        pair.settle { sizes[$0.count, default: 0] += 1 }
        #expect(sizes[1172] == 400_000 / 1152)
        #expect(sizes[20 + 400_000 % 1152] == 1)
        #expect(sizes.keys.max() == 1172)
        #expect(pair.receivedByB.count == 400_000)
    }
}
