import Base
import Crypto
import Testing
import Wire

@testable import Hypercore

/// A whole exchange between two JavaScript peers.
///
/// Every frame is decoded and encoded again; a reader here takes in the captured Data; and each side
/// here, given what its counterpart heard, says what the captured one said as far as the protocol
/// prescribes it.
struct CapturedExchange {
    struct Entry {
        var fromInitiator: Bool
        var type: MessageType
        var payload: [UInt8]
        var fields: JSON
    }

    let vector: JSON
    let handshakeHash: [UInt8]
    let key: Bytes32
    private(set) var handshakes: [Bool: [UInt8]] = [:]
    private(set) var entries: [Entry] = []

    init(_ vector: JSON) throws {
        self.vector = vector
        handshakeHash = vector["handshakeHash"].bytes
        key = vector["key"].bytes32
        for frame in vector["frames"].list { try read(frame) }
    }

    private mutating func read(_ frame: JSON) throws {
        let fromInitiator = frame["from"].text == "initiator"
        let decoded = frame["decoded"]
        let bytes = frame["frame"].bytes
        var reader = WireReader(bytes.span)
        let channel = try reader.readUInt()
        let type = try reader.readUInt()
        switch (channel, type) {
        case (0, 1):
            #expect(try reader.readUInt() == decoded["channel"].number)
            #expect(try reader.readString(max: 64) == LogReplication.protocolName)
            #expect(try reader.readBuffer(max: 32) == decoded["id"].bytes)
            handshakes[fromInitiator] = reader.readRest()
        case (0, 0):
            var channel = try reader.readUInt()
            var position = 0
            while !reader.isAtEnd {
                let length = try reader.readUInt()
                guard length > 0 else {
                    channel = try reader.readUInt()
                    continue
                }
                #expect(channel == 1)
                let entry = try reader.readBytes(Int(length))
                try add(entry, fromInitiator, decoded["batch"].list[position])
                position += 1
            }
        default:
            #expect(channel == 1)
            try add([UInt8](bytes.dropFirst()), fromInitiator, decoded)
        }
    }

    private mutating func add(_ bytes: [UInt8], _ fromInitiator: Bool, _ decoded: JSON) throws {
        var reader = WireReader(bytes.span)
        let type = try #require(MessageType(rawValue: Int(reader.readUInt())))
        #expect("\(type)".lowercased() == decoded["message"].text.lowercased())
        entries.append(
            Entry(
                fromInitiator: fromInitiator, type: type, payload: reader.readRest(),
                fields: decoded["fields"]))
    }

    func check() throws {
        for entry in entries { try checkFields(entry) }
        try checkHandshakes()
        try checkReader()
        try checkDialogue()
    }

    private func checkFields(_ entry: Entry) throws {
        let fields = entry.fields
        switch entry.type {
        case .sync: try checkCoding(fields.sync, entry.payload)
        case .request: try checkCoding(fields.request(), entry.payload)
        case .cancel:
            try checkCoding(CancelMessage(request: fields["request"].number), entry.payload)
        case .data: try checkCoding(fields.data, entry.payload)
        case .noData: try checkCoding(fields.noData, entry.payload)
        case .want, .unwant: try checkCoding(fields.want, entry.payload)
        case .bitfield: try checkCoding(fields.bitfield, entry.payload)
        case .range: try checkCoding(fields.range, entry.payload)
        case .extension: try checkCoding(fields.extensionMessage, entry.payload)
        }
    }

    private func checkHandshakes() throws {
        for isInitiator in [true, false] {
            let log = try emptyLog()
            let replication = LogReplication(
                log: log, handshakeHash: handshakeHash, isInitiator: isInitiator)
            #expect(replication.openHandshake == handshakes[isInitiator])
        }
    }

    private func emptyLog() throws -> Log {
        try Log(storage: MemoryLogStorage(), slot: .init(rawValue: 3), key: key)
    }

    /// What the captured reader received, verified and stored.
    private func checkReader() throws {
        let log = try emptyLog()
        for entry in entries where entry.type == .data {
            try log.store(log.verify(DataMessage(decoding: entry.payload.span).proof))
        }
        let result = vector["result"]
        for block in result["blocks"].list {
            let held = try log.held.runs.flatMap { $0 }.map { try log.block(at: $0) }
            #expect(held.contains(block.bytes))
        }
        if !result["length"].isNull { #expect(log.length == result["length"].number) }
        if !result["contiguousLength"].isNull {
            #expect(log.contiguousLength == result["contiguousLength"].number)
        }
        #expect(log.manifest != nil)
        #expect(log.signature == entries.last { !$0.upgradeSignature.isEmpty }?.upgradeSignature)
    }

    /// The captured reader's questions, put to a writer of ours, get the captured answers. The
    /// captured writer's news, told to a reader of ours, get the captured first question.
    private func checkDialogue() throws {
        let log = try writer(blocks: [])
        #expect(log.key == key)
        var ours = LogReplication(log: log, handshakeHash: handshakeHash, isInitiator: true)
        var effects: [LogReplication.Effect] = []
        try ours.opened(remoteHandshake: #require(handshakes[false]), into: &effects)
        let answers = entries.filter { $0.type == .data }
        var asked = 0
        for entry in entries where !entry.fromInitiator {
            if entry.type == .request {
                // As many blocks as the captured writer had when it answered.
                try extend(log, for: answers[asked])
                effects = []
                try ours.localChanged(into: &effects)
                effects = []
            }
            try ours.receive(
                type: entry.type.rawValue, payload: entry.payload.span, into: &effects)
            guard entry.type == .request else { continue }
            #expect(
                effects == [
                    .send(type: MessageType.data.rawValue, payload: answers[asked].payload)
                ])
            asked += 1
        }
        #expect(asked == answers.count)
        try checkFirstQuestion()
    }

    private func extend(_ log: Log, for answer: Entry) throws {
        let upgrade = answer.fields["upgrade"]
        guard !upgrade.isNull else { return }
        let target = upgrade["start"].number + upgrade["length"].number
        while log.length < target {
            // The vectors' blocks: "a", "bb", "ccc", ...
            let letter = UInt8(ascii: "a") + UInt8(log.length)
            try log.append([[UInt8](repeating: letter, count: Int(log.length) + 1)])
        }
    }

    private func checkFirstQuestion() throws {
        let log = try emptyLog()
        var ours = LogReplication(log: log, handshakeHash: handshakeHash, isInitiator: false)
        var effects: [LogReplication.Effect] = []
        try ours.opened(remoteHandshake: #require(handshakes[true]), into: &effects)
        let sync = try #require(entries.first { !$0.fromInitiator && $0.type == .sync })
        #expect(
            effects == [.send(type: MessageType.sync.rawValue, payload: sync.payload)])
        let news = try #require(entries.first { $0.fromInitiator && $0.type == .sync })
        effects = []
        try ours.receive(type: 0, payload: news.payload.span, into: &effects)
        let question = try #require(entries.first { $0.type == .request })
        var expected = try RequestMessage(decoding: question.payload.span)
        // Nobody reads at a byte offset here.
        expected.seek = nil
        #expect(
            effects == [
                .remoteLength(news.fields["length"].number),
                .send(type: MessageType.request.rawValue, payload: expected.encoded()),
            ])
    }
}

extension CapturedExchange.Entry {
    fileprivate var upgradeSignature: [UInt8] { fields["upgrade"]["signature"].bytes }
}
