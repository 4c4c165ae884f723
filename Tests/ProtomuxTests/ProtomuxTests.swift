import Base
import Testing
import Wire

@testable import Protomux

struct ProtomuxTests {
    /// Encodes one message by hand.
    private func message(_ parts: [UInt8]...) -> [UInt8] { parts.flatMap { $0 } }

    private func openMessage(_ number: UInt64, _ name: String, id: [UInt8] = []) -> [UInt8] {
        var writer = WireWriter()
        writer.writeRaw([0, 1])
        writer.writeUInt(number)
        writer.writeString(name)
        writer.writeBuffer(id)
        return writer.bytes
    }

    private func receive(
        _ message: [UInt8], by mux: inout Protomux
    ) throws(ProtomuxError) -> [Protomux.Event] {
        var events: [Protomux.Event] = []
        try mux.receive(message.span, events: &events)
        return events
    }

    private func refusal(of message: [UInt8], by mux: inout Protomux) -> ProtomuxError? {
        do {
            _ = try receive(message, by: &mux)
            return nil
        } catch {
            return error
        }
    }

    @Test func `an Open after the other side's opens at once, with what was kept, in order`() throws
    {
        var mux = Protomux()
        #expect(
            try receive(openMessage(1, "p", id: [7]) + [9, 9], by: &mux)
                == [.openRequested(protocolName: "p", id: [7])])
        #expect(try receive([1, 0, 1], by: &mux) == [])
        #expect(try receive([1, 3], by: &mux) == [])
        let channel = mux.open("p", id: [7], handshake: [5])
        // Without takeEvents they come with the next message, before it.
        #expect(
            try receive([1, 2, 2], by: &mux) == [
                .opened(channel, handshake: [9, 9]),
                .message(channel, type: 0, payload: [1]),
                .message(channel, type: 3, payload: []),
                .message(channel, type: 2, payload: [2]),
            ])
        #expect(mux.keptBytes == 0)
        #expect(mux.takeMessages() == [openMessage(1, "p", id: [7]) + [5]])
    }

    @Test func `an Open before the other side's opens when that comes`() throws {
        var mux = Protomux()
        let channel = mux.open("p")
        mux.send(channel, type: 0, payload: [1])
        #expect(mux.takeMessages() == [openMessage(1, "p"), [1, 0, 1]])
        #expect(
            try receive(openMessage(1, "p") + [8], by: &mux) == [.opened(channel, handshake: [8])])
    }

    @Test func `Opens of one name match oldest first`() throws {
        var mux = Protomux()
        let (one, two) = (mux.open("p"), mux.open("p"))
        #expect(try receive(openMessage(1, "p"), by: &mux) == [.opened(one, handshake: [])])
        #expect(try receive(openMessage(2, "p"), by: &mux) == [.opened(two, handshake: [])])
        for number in [3, 4] as [UInt64] {
            #expect(
                try receive(openMessage(number, "q"), by: &mux)
                    == [.openRequested(protocolName: "q", id: [])])
        }
        let (three, four) = (mux.open("q"), mux.open("q"))
        #expect(
            try receive([4, 0], by: &mux).last == .message(four, type: 0, payload: []))
        #expect(try receive([3, 0], by: &mux) == [.message(three, type: 0, payload: [])])
    }

    @Test func `ids of the other side grow by one and are used once`() throws {
        var mux = Protomux()
        #expect(refusal(of: openMessage(2, "p"), by: &mux) == .invalidOpen(2))
        mux = Protomux()
        #expect(refusal(of: openMessage(1, "p"), by: &mux) == nil)
        #expect(refusal(of: openMessage(1, "q"), by: &mux) == .invalidOpen(1))
        // For ever after.
        #expect(refusal(of: [], by: &mux) == .invalidOpen(1))
        mux = Protomux()
        #expect(refusal(of: openMessage(Wire.Limits.integerMax, "p"), by: &mux) != nil)
    }

    @Test func `an Open of the control channel is rejected`() throws {
        var mux = Protomux()
        #expect(try receive(openMessage(0, "p"), by: &mux) == [])
        #expect(mux.takeMessages() == [[0, 2, 0]])
    }

    @Test func `an id freed by a close may be used again`() throws {
        var mux = Protomux()
        let channel = mux.open("p")
        _ = try receive(openMessage(1, "p"), by: &mux)
        #expect(try receive([0, 3, 1], by: &mux) == [.closed(channel)])
        #expect(!mux.isAlive(channel))
        #expect(try receive([0, 3, 1], by: &mux) == [], "closed already")
        #expect(try receive([1, 0, 5], by: &mux) == [], "of a closed channel")
        mux.send(channel, type: 0, payload: [1])
        mux.close(channel)
        let again = mux.open("p")
        #expect(again != channel)
        #expect(mux.takeMessages() == [openMessage(1, "p"), openMessage(1, "p")])
        #expect(try receive(openMessage(1, "p"), by: &mux) == [.opened(again, handshake: [])])
    }

    @Test func `an id closed before the answer is kept until the answer comes`() throws {
        var mux = Protomux()
        let channel = mux.open("p")
        mux.close(channel)
        mux.close(channel)
        #expect(mux.takeMessages() == [openMessage(1, "p"), [0, 3, 1]])
        let next = mux.open("q")
        #expect(mux.takeMessages() == [openMessage(2, "q")])
        // The late Open is dropped, and so are its messages.
        #expect(try receive(openMessage(1, "p"), by: &mux) == [])
        #expect(try receive([1, 0, 9], by: &mux) == [])
        mux.open("r")
        #expect(mux.takeMessages() == [openMessage(1, "r")])
        #expect(mux.isAlive(next))
        // A late Reject does the same.
        mux.close(next)
        #expect(try receive([0, 2, 2], by: &mux) == [])
        mux.open("s")
        #expect(mux.takeMessages() == [[0, 3, 2], openMessage(2, "s")])
    }

    @Test func `a Reject closes our half; of anything else it ends the connection`() throws {
        var mux = Protomux()
        let channel = mux.open("p")
        #expect(try receive([0, 2, 1], by: &mux) == [.closed(channel)])
        #expect(refusal(of: [0, 2, 1], by: &mux) == .invalidReject(1))
        for number in [0, 2, 0xfc] as [UInt8] {
            mux = Protomux()
            #expect(refusal(of: [0, 2, number], by: &mux) == .invalidReject(UInt64(number)))
        }
        mux = Protomux()
        mux.open("p")
        _ = try receive(openMessage(1, "p"), by: &mux)
        #expect(refusal(of: [0, 2, 1], by: &mux) == .invalidReject(1))
    }

    @Test func `a Close of an Open that waits answers it`() throws {
        var mux = Protomux()
        _ = try receive(openMessage(1, "p"), by: &mux)
        #expect(try receive([0, 3, 1], by: &mux) == [])
        #expect(mux.takeMessages() == [[0, 2, 1]])
        mux.reject(protocolName: "p")
        #expect(mux.takeMessages() == [])
        // An answer that comes too late is an Open of its own.
        let channel = mux.open("p")
        #expect(try receive(openMessage(1, "p"), by: &mux) == [.opened(channel, handshake: [])])
    }

    @Test func `closes of unused ids and unknown control messages are ignored`() throws {
        var mux = Protomux()
        #expect(try receive([0, 3, 0], by: &mux) == [])
        #expect(try receive([0, 3, 77], by: &mux) == [])
        #expect(try receive([0, 4, 1, 2, 3], by: &mux) == [])
        #expect(try receive([0, 0xfc], by: &mux) == [])
        #expect(try receive([9, 0], by: &mux) == [])
        #expect(try receive([], by: &mux) == [])
        #expect(mux.takeMessages() == [])
    }

    @Test func `events that were never taken die with a close`() throws {
        var mux = Protomux()
        _ = try receive(openMessage(1, "p"), by: &mux)
        let channel = mux.open("p")
        mux.close(channel)
        #expect(try receive([], by: &mux) == [])
    }

    // MARK: Batches

    @Test func `a batch carries control messages and several channels in order`() throws {
        var mux = Protomux()
        let channel = mux.open("p")
        let events = try receive(
            message(
                [0, 0, 0], [5, 1, 1, 1], Array("p".utf8), [0],
                [0, 1], [2, 0, 7], [1, 4], [0, 0], [2, 3, 1], [0, 1], [2, 0, 8]),
            by: &mux)
        #expect(
            events == [
                .opened(channel, handshake: []),
                .message(channel, type: 0, payload: [7]),
                .message(channel, type: 4, payload: []),
                .closed(channel),
            ])
    }

    @Test(
        arguments: [
            [0, 0], [0, 0, 1, 5, 0], [0, 0, 1, 0], [0, 0, 1, 1, 0xfd], [0, 0, 0xfd, 1],
            [0, 0, 1, 0xff, 0, 0, 0, 0, 0, 0, 0x20, 0], [0, 0, 0, 1, 1],
        ] as [[UInt8]])
    func `a malformed batch ends the connection`(bytes: [UInt8]) {
        var mux = Protomux()
        let error = refusal(of: bytes, by: &mux)
        #expect(error != nil)
        #expect(refusal(of: [], by: &mux) == error)
    }

    @Test func `a batch in a batch ends the connection`() {
        var mux = Protomux()
        #expect(refusal(of: [0, 0, 0, 3, 0, 0, 0], by: &mux) == .nestedBatch)
    }

    @Test func `an empty batch is nothing`() throws {
        var mux = Protomux()
        #expect(try receive([0, 0, 1], by: &mux) == [])
        #expect(try receive([0, 0, 1, 0, 2, 0, 3], by: &mux) == [])
    }

    @Test func `corks nest`() throws {
        var mux = Protomux()
        mux.cork()
        let channel = mux.open("p")
        mux.cork()
        mux.send(channel, type: 0, payload: [1])
        mux.uncork()
        #expect(mux.takeMessages() == [])
        mux.uncork()
        #expect(mux.takeMessages().count == 1)
        mux.send(channel, type: 1, payload: [2])
        #expect(mux.takeMessages() == [[1, 1, 2]])
    }

    @Test func `a batch is cut at its limit, and every piece is a batch of its own`() throws {
        var (sender, receiver) = (Protomux(), Protomux())
        let (channel, answer) = (sender.open("p"), receiver.open("p"))
        let payload = [UInt8](repeating: 3, count: 3 << 20)
        sender.cork()
        for type in 0..<5 { sender.send(channel, type: type, payload: payload) }
        sender.send(channel, type: 5, payload: [UInt8](repeating: 4, count: 9 << 20))
        sender.send(channel, type: 6, payload: [])
        sender.uncork()
        let messages = sender.takeMessages()
        #expect(messages.map { $0.count >> 20 } == [0, 6, 6, 3, 9, 0])
        var events: [Protomux.Event] = []
        for message in messages { try receiver.receive(message.span, events: &events) }
        #expect(events.count == 8)
        #expect(events[5] == .message(answer, type: 4, payload: payload))
        #expect(events.last == .message(answer, type: 6, payload: []))
    }

    // MARK: Limits

    @Test func `more waiting Opens than the limit are rejected at once`() throws {
        var mux = Protomux()
        for number in 1...UInt64(Limits.waitingOpensMax) {
            #expect(try receive(openMessage(number, "p"), by: &mux).count == 1)
        }
        #expect(mux.takeMessages() == [])
        let next = UInt64(Limits.waitingOpensMax) + 1
        #expect(try receive(openMessage(next, "p"), by: &mux) == [])
        #expect(mux.takeMessages().count == 1)
        // Its number is free again.
        #expect(try receive(openMessage(next, "p"), by: &mux) == [])
    }

    @Test func `a waiting channel that sends more than is kept is rejected`() throws {
        var mux = Protomux()
        _ = try receive(openMessage(1, "p"), by: &mux)
        _ = try receive(openMessage(2, "q"), by: &mux)
        let early = [2, 0] + [UInt8](repeating: 1, count: 200_000)
        var sent = 0
        while mux.takeMessages().isEmpty, sent < 100 {
            _ = try receive(early, by: &mux)
            sent += 1
        }
        #expect(sent == 6)
        #expect(mux.keptBytes < 10_000)
        #expect(try receive(early, by: &mux) == [])
        // The other one is as it was.
        let channel = mux.open("p")
        #expect(try receive([1, 0], by: &mux).first == .opened(channel, handshake: []))
        #expect(mux.keptBytes == 0)
    }

    @Test func `many small early messages count what they cost`() throws {
        var mux = Protomux()
        _ = try receive(openMessage(1, "p"), by: &mux)
        for _ in 0..<Limits.keptBytesMax / Limits.keptOverhead {
            _ = try receive([1, 0], by: &mux)
        }
        #expect(mux.takeMessages() == [[0, 2, 1]])
    }

    @Test func `ids above the limit end the connection`() throws {
        var mux = Protomux()
        for number in 1...UInt64(Limits.channelsMax) {
            _ = try receive(openMessage(number, "p"), by: &mux)
            mux.reject(protocolName: "p")
            mux.remoteHalves[Int(number) - 1] = .matched(localNumber: 1)
        }
        let next = UInt64(Limits.channelsMax) + 1
        #expect(refusal(of: openMessage(next, "p"), by: &mux) == .invalidOpen(next))
    }

    @Test func `long names are refused`() {
        var mux = Protomux()
        let name = String(repeating: "x", count: Limits.nameSizeMax + 1)
        #expect(refusal(of: openMessage(1, name), by: &mux) != nil)
        mux = Protomux()
        let id = [UInt8](repeating: 0, count: Limits.nameSizeMax + 1)
        #expect(refusal(of: openMessage(1, "p", id: id), by: &mux) != nil)
    }
}
