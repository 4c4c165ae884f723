import Base
import Foundation
import Protomux
import Testing
import Wire

/// The published frames of protomux 3.10: the same calls give the same bytes and the same deliveries.
struct PublishedVectorTests {
    struct Frame: Decodable, Equatable {
        let from: String
        let frame: String
    }

    struct Case: Decodable {
        let name: String
        let frames: [Frame]?
    }

    static let cases: [Case] = {
        guard
            let url = Bundle.module.url(
                forResource: "protomux", withExtension: "json", subdirectory: "Vectors"),
            let data = try? Data(contentsOf: url),
            let cases = try? JSONDecoder().decode([Case].self, from: data)
        else { return [] }
        return cases
    }()

    /// Two sides whose messages cross when told to.
    struct Wire {
        var a = Protomux()
        var b = Protomux()
        var eventsOfA: [Protomux.Event] = []
        var eventsOfB: [Protomux.Event] = []

        /// Both send what they have; then both take in what the other sent. Answers are left for the
        /// next exchange.
        mutating func exchange() throws -> [Frame] {
            let (fromA, fromB) = (a.takeMessages(), b.takeMessages())
            for message in fromA { try b.receive(message.span, events: &eventsOfB) }
            for message in fromB { try a.receive(message.span, events: &eventsOfA) }
            return fromA.map { Frame(from: "a", frame: $0.hex) }
                + fromB.map { Frame(from: "b", frame: $0.hex) }
        }

        /// Refuses, on b's side, whatever a asked for, and sends the answer.
        mutating func rejectAll() throws -> [Frame] {
            for case .openRequested(let name, let id) in eventsOfB {
                b.reject(protocolName: name, id: id)
            }
            eventsOfB.removeAll { if case .openRequested = $0 { true } else { false } }
            return try exchange()
        }
    }

    private func frames(_ name: String) throws -> [Frame] {
        try #require(Self.cases.first { $0.name.hasPrefix(name) }?.frames)
    }

    private func string(_ text: String) -> [UInt8] {
        var writer = WireWriter()
        writer.writeString(text)
        return writer.bytes
    }

    private func uint(_ value: UInt64) -> [UInt8] {
        var writer = WireWriter()
        writer.writeUInt(value)
        return writer.bytes
    }

    @Test func `the vectors are there`() { #expect(Self.cases.count == 17) }

    @Test func `a connection with two channels goes as published`() throws {
        var wire = Wire()
        let id = Array("id".utf8)
        let first = wire.a.open("test/proto", id: id, handshake: string("handshake from a"))
        let firstOfB = wire.b.open("test/proto", id: id, handshake: string("handshake from b"))
        #expect(try wire.exchange() == frames("both open channel"))

        wire.a.send(first, type: 0, payload: string("hello"))
        wire.a.send(first, type: 1, payload: uint(300))
        #expect(try wire.exchange() == frames("two single messages"))

        wire.a.cork()
        wire.a.send(first, type: 0, payload: string("one"))
        wire.a.send(first, type: 0, payload: string("two"))
        wire.a.send(first, type: 1, payload: uint(3))
        #expect(wire.a.takeMessages().isEmpty)
        wire.a.uncork()
        #expect(try wire.exchange() == frames("corked: three messages"))

        let second = wire.a.open("other")
        let secondOfB = wire.b.open("other")
        #expect(try wire.exchange() == frames("second channel without id"))

        wire.a.cork()
        wire.a.send(first, type: 0, payload: string("x"))
        wire.a.send(second, type: 0, payload: [0, 1, 2])
        wire.a.send(second, type: 0, payload: [0, 1])
        wire.a.send(first, type: 1, payload: uint(5))
        wire.a.uncork()
        #expect(try wire.exchange() == frames("corked: messages on two"))

        wire.a.cork()
        wire.a.send(first, type: 0, payload: string("only"))
        wire.a.uncork()
        #expect(try wire.exchange() == frames("corked: a single message"))

        wire.a.cork()
        wire.a.uncork()
        #expect(try wire.exchange() == frames("cork and uncork with nothing"))

        wire.a.cork()
        let third = wire.a.open("third")
        wire.a.send(third, type: 0, payload: string("early"))
        wire.a.uncork()
        wire.b.cork()
        var seen = try wire.exchange()
        #expect(wire.eventsOfB.last == .openRequested(protocolName: "third", id: []))
        wire.b.reject(protocolName: "third")
        wire.b.uncork()
        wire.eventsOfB.removeLast()
        seen += try wire.exchange()
        #expect(try seen == frames("corked: open and a message"))
        #expect(wire.eventsOfA.last == .closed(third))

        wire.a.close(second)
        #expect(try wire.exchange() == frames("a closes the second channel"))
        #expect(wire.eventsOfB.last == .closed(secondOfB))

        let reused = [UInt8](repeating: 1, count: 32)
        let fourthOfB = wire.b.open("reuse", id: reused)
        let fourth = wire.a.open("reuse", id: reused)
        let crossed = try wire.exchange()
        #expect(try crossed == frames("channel opened after a close").reversed())

        wire.b.close(firstOfB)
        #expect(try wire.exchange() == frames("b closes the first channel"))

        #expect(
            wire.eventsOfB == [
                .opened(firstOfB, handshake: string("handshake from a")),
                .message(firstOfB, type: 0, payload: string("hello")),
                .message(firstOfB, type: 1, payload: uint(300)),
                .message(firstOfB, type: 0, payload: string("one")),
                .message(firstOfB, type: 0, payload: string("two")),
                .message(firstOfB, type: 1, payload: uint(3)),
                .opened(secondOfB, handshake: []),
                .message(firstOfB, type: 0, payload: string("x")),
                .message(secondOfB, type: 0, payload: [0, 1, 2]),
                .message(secondOfB, type: 0, payload: [0, 1]),
                .message(firstOfB, type: 1, payload: uint(5)),
                .message(firstOfB, type: 0, payload: string("only")),
                .closed(secondOfB),
                .opened(fourthOfB, handshake: []),
            ])
        #expect(
            wire.eventsOfA == [
                .opened(first, handshake: string("handshake from b")),
                .opened(second, handshake: []),
                .closed(third),
                .opened(fourth, handshake: []),
                .closed(first),
            ])
    }

    @Test func `an Open that nobody wants goes as published`() throws {
        var wire = Wire()
        let channel = wire.a.open("nobody")
        var seen = try wire.exchange()
        seen += try wire.rejectAll()
        #expect(try seen == frames("open that the other side rejects"))
        #expect(wire.eventsOfA == [.closed(channel)])
        #expect(!wire.a.isAlive(channel))
    }

    @Test func `a message before the answer goes as published and is kept`() throws {
        var wire = Wire()
        let id = [UInt8](0..<32)
        let channel = wire.a.open("paired", id: id)
        wire.a.send(channel, type: 0, payload: string("sent before b answered"))
        var seen = try wire.exchange()
        #expect(wire.eventsOfB == [.openRequested(protocolName: "paired", id: id)])
        wire.eventsOfB = []
        let answer = wire.b.open("paired", id: id)
        wire.b.takeEvents(into: &wire.eventsOfB)
        #expect(
            wire.eventsOfB == [
                .opened(answer, handshake: []),
                .message(answer, type: 0, payload: string("sent before b answered")),
            ])
        seen += try wire.exchange()
        #expect(try seen == frames("pair handler"))
        #expect(wire.eventsOfA == [.opened(channel, handshake: [])])
    }

    @Test func `a replication channel opens as published`() throws {
        var wire = Wire()
        let id = [UInt8](repeating: 0xd1, count: 32)
        let ofA = [1] + [UInt8](repeating: 0xca, count: 32)
        let ofB = [1] + [UInt8](repeating: 0xcb, count: 32)
        let channel = wire.a.open("hypercore/alpha", id: id, handshake: ofA)
        let answer = wire.b.open("hypercore/alpha", id: id, handshake: ofB)
        #expect(try wire.exchange() == frames("hypercore/alpha open handshake"))
        #expect(wire.eventsOfA == [.opened(channel, handshake: ofB)])
        wire.a.send(channel, type: 0, payload: [15, 0, 3, 0])
        wire.a.send(channel, type: 8, payload: [0, 0, 3])
        #expect(try wire.exchange() == frames("hypercore/alpha sync"))
        #expect(
            wire.eventsOfB == [
                .opened(answer, handshake: ofA),
                .message(answer, type: 0, payload: [15, 0, 3, 0]),
                .message(answer, type: 8, payload: [0, 0, 3]),
            ])
    }
}
