import Base
import Crypto
import Testing
import Wire

@testable import Hypercore

/// What a peer can send to do harm: it is dropped, and nothing of it is stored.
struct HostilePeerTests {
    /// A reader that faces a peer which says and sends what the test makes up.
    final class Reader {
        let storage = MemoryLogStorage()
        let log: Log
        var replication: LogReplication
        var effects: [LogReplication.Effect] = []
        let writer: Log
        private let writesAtStart: Int

        /// - Parameters:
        ///   - length: blocks of the true log.
        ///   - known: blocks of it that the reader has.
        init(length: Int, known: Int = 0) throws {
            let blocks = (0..<length).map { [UInt8](repeating: UInt8($0), count: 10 + $0) }
            writer = try trueLog(blocks)
            log = try Log(
                storage: storage, slot: .init(rawValue: 1), key: writer.key,
                manifest: writer.manifest)
            if known > 0 {
                let earlier = try trueLog([[UInt8]](blocks.prefix(known)))
                let upgrade = RequestMessage(
                    id: 1, fork: 0, upgrade: .init(start: 0, length: UInt64(known)))
                try log.store(log.verify(earlier.proof(for: upgrade)))
            }
            let hash = [UInt8](repeating: 1, count: 64)
            replication = LogReplication(log: log, handshakeHash: hash, isInitiator: false)
            let other = LogReplication(log: writer, handshakeHash: hash, isInitiator: true)
            writesAtStart = storage.writeCount
            try replication.opened(remoteHandshake: other.openHandshake, into: &effects)
        }

        func receive(_ type: MessageType, _ message: some Message) throws {
            try receive(type, message.encoded())
        }

        func receive(_ type: MessageType, _ payload: [UInt8]) throws {
            effects = []
            try replication.receive(
                type: type.rawValue, payload: payload.span, into: &effects)
        }

        /// The peer says that it has the first `length` blocks.
        func hear(length: UInt64, fork: UInt64 = 0) throws {
            try receive(.range, RangeMessage(start: 0, length: length))
            try receive(
                .sync,
                SyncMessage(
                    fork: fork, length: length, remoteLength: log.length, canUpgrade: true,
                    uploading: true, downloading: true, hasManifest: true))
        }

        var requests: [RequestMessage] {
            effects.compactMap {
                guard case .send(1, let payload) = $0 else { return nil }
                return try? RequestMessage(decoding: payload.span)
            }
        }

        var violation: String? {
            for case .violation(let reason) in effects { return reason }
            return nil
        }

        /// Nothing was stored since the start, and nothing stays reserved.
        func expectUntouched(sourceLocation: SourceLocation = #_sourceLocation) {
            #expect(storage.writeCount == writesAtStart, sourceLocation: sourceLocation)
            #expect(log.requested.isEmpty, sourceLocation: sourceLocation)
            #expect(log.upgradeOwner == nil, sourceLocation: sourceLocation)
        }
    }

    private func expectDropped(
        _ reader: Reader, sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        #expect(reader.violation != nil, sourceLocation: sourceLocation)
        reader.expectUntouched(sourceLocation: sourceLocation)
        // Deaf from now on.
        try reader.receive(.sync, SyncMessage(length: 9))
        #expect(reader.effects.isEmpty, sourceLocation: sourceLocation)
    }

    // MARK: Bad answers

    static let damages: [(name: String, damage: @Sendable (inout DataMessage) -> Void)] = [
        ("another fork", { $0.proof.fork = 1 }),
        ("another block", { $0.proof.block?.index = 3 }),
        ("a block out of range", { $0.proof.block?.index = 1 << 52 }),
        ("other bytes", { $0.proof.block?.bytes.append(0) }),
        ("other bytes of the same size", { $0.proof.block?.bytes[0] ^= 1 }),
        ("a path cut short", { $0.proof.block?.nodes.removeLast() }),
        (
            "a path too long",
            {
                $0.proof.block?.nodes.append(TreeNode(index: 23, size: 1, hash: .zero))
            }
        ),
        ("a path of another block", { $0.proof.block?.nodes.reverse() }),
        ("another hash in the path", { $0.proof.block?.nodes[0].hash = .zero }),
        ("another size in the path", { $0.proof.block?.nodes[0].size += 1 }),
        ("a size too large", { $0.proof.block?.nodes[0].size = (1 << 53) - 1 }),
        ("an index out of range", { $0.proof.block?.nodes[0].index = (1 << 53) - 1 }),
        ("a hash nobody asked for", { $0.proof.hash = .init(index: 0, nodes: []) }),
        ("a seek nobody asked for", { $0.proof.seek = .init(bytes: 0, nodes: []) }),
        ("another start", { $0.proof.upgrade?.start = 1 }),
        ("no length", { $0.proof.upgrade?.length = 0 }),
        ("another length", { $0.proof.upgrade?.length = 6 }),
        ("a huge length", { $0.proof.upgrade?.length = 1 << 47 }),
        ("a node missing", { $0.proof.upgrade?.nodes.removeLast() }),
        ("another node", { $0.proof.upgrade?.nodes[0].hash = .zero }),
        ("a node out of place", { $0.proof.upgrade?.nodes[0].index = 2 }),
        (
            "nodes after the end",
            {
                $0.proof.upgrade?.additionalNodes = [TreeNode(index: 14, size: 1, hash: .zero)]
            }
        ),
        (
            "nodes far after the end",
            {
                $0.proof.upgrade?.additionalNodes = [TreeNode(index: 1 << 40, size: 1, hash: .zero)]
            }
        ),
        (
            "a huge node after the end",
            {
                $0.proof.upgrade?.additionalNodes = [
                    TreeNode(index: (1 << 49) - 1, size: 1, hash: .zero)
                ]
            }
        ),
        ("no signature", { $0.proof.upgrade?.signature = [] }),
        ("another signature", { $0.proof.upgrade?.signature[10] ^= 1 }),
        ("a signature of another signer", { $0.proof.upgrade?.signature[1] = 1 }),
        ("half a signature", { $0.proof.upgrade?.signature.removeLast(30) }),
        ("a signature of nobody", { $0.proof.upgrade?.signature[0] = 0 }),
    ]

    @Test(arguments: damages.map(\.name))
    func `a bad answer drops the peer`(name: String) throws {
        let reader = try Reader(length: 7)
        try reader.hear(length: 7)
        let request = try #require(reader.requests.first)
        #expect(request.block != nil && request.upgrade != nil)
        var data = DataMessage(request: request.id, proof: try reader.writer.proof(for: request))
        let damage = try #require(Self.damages.first { $0.name == name }?.damage)
        damage(&data)
        try reader.receive(.data, data)
        try expectDropped(reader)
    }

    @Test func `a bad manifest drops the peer`() throws {
        let reader = try Reader(length: 3)
        let log = try Log(
            storage: reader.storage, slot: .init(rawValue: 2), key: reader.writer.key)
        let writes = reader.storage.writeCount
        let request = RequestMessage(id: 1, fork: 0, upgrade: .init(start: 0, length: 3))
        var proof = try reader.writer.proof(for: request)
        // Without a manifest the key is taken for the signer's.
        #expect(throws: ProofError.self) { try log.verify(proof) }
        proof.manifest = Manifest(publicKey: Bytes32(repeating: 7))
        #expect(throws: ProofError.refuted("the manifest is another log's")) {
            try log.verify(proof)
        }
        #expect(reader.storage.writeCount == writes)
        proof.manifest = reader.writer.manifest
        try log.store(log.verify(proof))
        #expect(log.length == 3)
    }

    @Test func `an answer that contradicts known blocks is followed up and then drops the peer`()
        throws
    {
        for reaction in ["refuses", "lies", "says nothing", "proves the same"] {
            let reader = try Reader(length: 7, known: 4)
            try reader.hear(length: 7)
            let request = try #require(reader.requests.first { $0.block != nil })
            #expect(request.block?.nodes == 2)
            var data = DataMessage(
                request: request.id, proof: try reader.writer.proof(for: request))
            data.proof.block?.bytes[0] ^= 1
            try reader.receive(.data, data)
            #expect(reader.violation == nil)
            let question = try #require(reader.requests.first)
            #expect(question.id == 0 && question.upgrade == .init(start: 0, length: 4))
            var proof = try reader.writer.proof(for: question)
            switch reaction {
            case "refuses": try reader.receive(.noData, NoDataMessage(request: 0))
            case "lies":
                proof.upgrade?.nodes[0].hash = .zero
                try reader.receive(.data, DataMessage(request: 0, proof: proof))
            case "says nothing":
                reader.effects = []
                for second: UInt64 in [1, 22] {
                    try reader.replication.tick(
                        now: Instant(nanoseconds: second * 1_000_000_000),
                        into: &reader.effects)
                }
            default: try reader.receive(.data, DataMessage(request: 0, proof: proof))
            }
            try expectDropped(reader)
        }
    }

    @Test func `an answer that was not asked for drops the peer`() throws {
        let reader = try Reader(length: 3)
        try reader.hear(length: 3)
        try reader.receive(.data, DataMessage(request: 99, proof: Proof(fork: 0)))
        try expectDropped(reader)
        let other = try Reader(length: 3)
        try other.receive(.noData, NoDataMessage(request: 1))
        try expectDropped(other)
    }

    @Test func `pushed blocks are ignored`() throws {
        let reader = try Reader(length: 3)
        let request = RequestMessage(
            id: 0, fork: 0, block: .init(index: 0, nodes: 0),
            upgrade: .init(start: 0, length: 3))
        var proof = try reader.writer.proof(for: request)
        try reader.receive(.data, DataMessage(request: 0, proof: proof))
        #expect(reader.effects.isEmpty)
        proof.upgrade = nil
        try reader.receive(.data, DataMessage(request: 0, proof: proof))
        #expect(reader.effects.isEmpty)
        reader.expectUntouched()
    }

    // MARK: Bad claims

    @Test func `a claim of endless blocks is asked about within the window`() throws {
        let reader = try Reader(length: 3)
        try reader.hear(length: Limits.lengthMax)
        #expect(reader.requests.count <= Limits.requestsInFlightMax)
        #expect(reader.replication.fetch.expected.count < 4 * Limits.requestsInFlightMax)
        for request in reader.requests {
            try reader.receive(.noData, NoDataMessage(request: request.id))
        }
        for second: UInt64 in [1, 22, 43] {
            try reader.replication.tick(
                now: Instant(nanoseconds: second * 1_000_000_000), into: &reader.effects)
        }
        reader.replication.closed()
        reader.expectUntouched()
    }

    @Test func `endless refusals end the asking`() throws {
        let reader = try Reader(length: 3, known: 3)
        var asked = 0
        try reader.hear(length: 3)
        var open = reader.requests
        while let request = open.popLast() {
            asked += 1
            try reader.receive(.noData, NoDataMessage(request: request.id))
            open += reader.requests
            try reader.receive(.range, RangeMessage(start: 0, length: 3))
            open += reader.requests
            guard asked < 10_000 else { break }
        }
        #expect(asked <= Limits.refusalsMax + 3)
    }

    @Test func `scattered blocks of a peer are remembered up to a limit`() throws {
        let reader = try Reader(length: 3)
        for index in 0..<UInt64(2 * Limits.remoteRunsMax) {
            try reader.receive(.range, RangeMessage(start: 2 * index + 5, length: 1))
        }
        #expect(reader.replication.remote.blocks.runs.count == Limits.remoteRunsMax)
        try reader.receive(
            .bitfield,
            BitfieldMessage(start: 0, words: [UInt32](repeating: 0x5555_5555, count: 1 << 16)))
        #expect(reader.replication.remote.blocks.runs.count <= Limits.remoteRunsMax)
        try reader.receive(.range, RangeMessage(start: 0, length: 1 << 40))
        #expect(reader.replication.remoteContiguousLength == 1 << 40)
    }

    @Test(arguments: [
        RangeMessage(start: 1 << 52, length: (1 << 53) - 1),
        RangeMessage(start: 5, length: (1 << 53) - 1),
        RangeMessage(drop: true, start: 0, length: (1 << 53) - 1),
        RangeMessage(start: 0, length: 0),
    ])
    func `odd ranges do no harm`(range: RangeMessage) throws {
        let reader = try Reader(length: 3)
        try reader.hear(length: 3)
        try reader.receive(.range, range)
        #expect(reader.violation == nil)
    }

    @Test func `odd wants get a bounded answer or none`() throws {
        let reader = try Reader(length: 3)
        for want in [
            WantMessage(start: 0, length: 1 << 53 - 1),
            WantMessage(start: (1 << 53) - 1, length: 32),
            WantMessage(start: 7, length: 33, any: true),
            WantMessage(start: 0, length: 0),
        ] {
            try reader.receive(.want, want)
            #expect(reader.effects.isEmpty)
        }
        let log = try trueLog([[1], [2], [3]])
        try log.clear(0..<1)
        let hash = [UInt8](repeating: 1, count: 64)
        var service = LogReplication(log: log, handshakeHash: hash, isInitiator: true)
        var effects: [LogReplication.Effect] = []
        try service.opened(
            remoteHandshake: LogReplication(log: log, handshakeHash: hash, isInitiator: false)
                .openHandshake, into: &effects)
        effects = []
        let bitfield = BitfieldMessage(start: 0, words: [0b110])
        for want in [
            WantMessage(start: 0, length: 32), WantMessage(start: 5, length: 7),
            WantMessage(start: 0, length: Limits.wantLengthMax),
            WantMessage(start: 0, length: 32, any: true), WantMessage(start: 32, length: 32),
        ] {
            try service.receive(type: 5, payload: want.encoded().span, into: &effects)
        }
        #expect(
            effects == [
                .send(type: 7, payload: bitfield.encoded()),
                .send(type: 7, payload: bitfield.encoded()),
                .send(type: 7, payload: bitfield.encoded()),
                .send(type: 8, payload: RangeMessage(start: 1, length: 1).encoded()),
            ])
    }

    // MARK: Bad questions

    @Test func `questions that nobody could answer drop the peer after a while`() throws {
        let odd = [
            RequestMessage(id: 1, fork: 0),
            RequestMessage(id: 1, fork: 0, block: .init(index: 7, nodes: 0)),
            RequestMessage(id: 1, fork: 0, block: .init(index: (1 << 53) - 1, nodes: 0)),
            RequestMessage(id: 1, fork: 0, block: .init(index: 0, nodes: 3)),
            RequestMessage(id: 1, fork: 0, block: .init(index: 0, nodes: (1 << 53) - 1)),
            RequestMessage(id: 1, fork: 0, hash: .init(index: 15, nodes: 0)),
            RequestMessage(id: 1, fork: 0, hash: .init(index: (1 << 53) - 1, nodes: 1)),
            RequestMessage(id: 1, fork: 0, seek: .init(bytes: 3, padding: 0)),
            RequestMessage(
                id: 1, fork: 0, seek: .init(bytes: (1 << 53) - 1, padding: 1 << 50),
                upgrade: .init(start: 0, length: 7)),
            RequestMessage(
                id: 1, fork: 0, hash: .init(index: 3, nodes: 0),
                seek: .init(bytes: 1 << 50, padding: 0)),
            RequestMessage(id: 1, fork: 0, upgrade: .init(start: 0, length: 0)),
            RequestMessage(id: 1, fork: 0, upgrade: .init(start: 0, length: 8)),
            RequestMessage(id: 1, fork: 0, upgrade: .init(start: 7, length: 1)),
            RequestMessage(
                id: 1, fork: 0, upgrade: .init(start: (1 << 53) - 1, length: (1 << 53) - 1)),
            RequestMessage(
                id: 1, fork: 0, block: .init(index: 6, nodes: 0),
                upgrade: .init(start: 0, length: 2)),
            RequestMessage(
                id: 1, fork: 0, block: .init(index: 6, nodes: 0),
                seek: .init(bytes: 2, padding: 0), upgrade: .init(start: 0, length: 7)),
        ]
        let log = try trueLog((0..<7).map { [UInt8($0)] })
        let hash = [UInt8](repeating: 1, count: 64)
        var service = LogReplication(log: log, handshakeHash: hash, isInitiator: true)
        var effects: [LogReplication.Effect] = []
        try service.opened(
            remoteHandshake: LogReplication(log: log, handshakeHash: hash, isInitiator: false)
                .openHandshake, into: &effects)
        effects = []
        var count = 0
        while count < Limits.invalidRequestsMax - 1 {
            try service.receive(
                type: 1, payload: odd[count % odd.count].encoded().span, into: &effects)
            count += 1
            #expect(effects.last == .send(type: 4, payload: [1, 1, 2]), "\(count)")
        }
        try service.receive(type: 1, payload: odd[0].encoded().span, into: &effects)
        guard case .violation = effects.last else {
            Issue.record("a peer that only asks nonsense is kept")
            return
        }
    }

    @Test func `too many questions at once drop the peer`() throws {
        let log = try trueLog([[1]])
        let hash = [UInt8](repeating: 1, count: 64)
        var service = LogReplication(log: log, handshakeHash: hash, isInitiator: true)
        var effects: [LogReplication.Effect] = []
        try service.opened(
            remoteHandshake: LogReplication(log: log, handshakeHash: hash, isInitiator: false)
                .openHandshake, into: &effects)
        effects = []
        service.queuedBytes = .max
        let request = RequestMessage(id: 1, fork: 0, block: .init(index: 0, nodes: 0)).encoded()
        for _ in 0..<Limits.waitingRequestsMax {
            try service.receive(type: 1, payload: request.span, into: &effects)
        }
        #expect(effects.isEmpty)
        try service.receive(type: 1, payload: request.span, into: &effects)
        #expect(effects == [.violation("too many questions at once")])
    }

    // MARK: Bad openings and bytes

    @Test func `a peer that does not know the key is dropped`() throws {
        let log = try trueLog([[1]])
        let hash = [UInt8](repeating: 1, count: 64)
        for handshake in [[], [1], [UInt8](repeating: 0, count: 33)] {
            var service = LogReplication(log: log, handshakeHash: hash, isInitiator: true)
            var effects: [LogReplication.Effect] = []
            try service.opened(remoteHandshake: handshake, into: &effects)
            guard case .violation? = effects.first, effects.count == 1 else {
                Issue.record("opened by \(handshake)")
                continue
            }
        }
        // Our own proof sent back to us proves nothing.
        var service = LogReplication(log: log, handshakeHash: hash, isInitiator: true)
        var effects: [LogReplication.Effect] = []
        try service.opened(remoteHandshake: service.openHandshake, into: &effects)
        #expect(effects == [.violation("the remote does not know the log's key")])
        var unopened = LogReplication(log: log, handshakeHash: hash, isInitiator: true)
        effects = []
        try unopened.receive(type: 0, payload: SyncMessage().encoded().span, into: &effects)
        #expect(effects == [.violation("a message before the remote's Open")])
    }

    @Test func `bytes that are no message drop the peer`() throws {
        for (type, payload) in [
            (MessageType.sync, [UInt8]([])), (.request, [0x3f, 1]), (.data, [1, 1, 0, 0, 0xff]),
            (.data, [8, 1, 0, 0, 1, 0xfe, 0xff, 0xff, 0xff, 0xff]),
            (.data, [1, 1, 0, 0] + [0xfe, 0x01, 0x00, 0x10, 0x00]),
            (.bitfield, [0, 0xfe, 0xff, 0xff, 0xff, 0xff]), (.noData, []), (.range, [0, 0]),
            (.want, [0]), (.cancel, []), (.extension, [9, 1]),
            (.sync, [0, 0, 0xff] + [UInt8](repeating: 0xff, count: 8) + [0]),
        ] {
            let reader = try Reader(length: 2)
            try reader.receive(type, payload)
            try expectDropped(reader)
        }
    }

    @Test(arguments: 0..<30)
    func `damaged messages never get a wrong block in`(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        var peers = try SimulatedPeers(readers: 1, followsForks: true)
        for _ in 0..<40 {
            try peers.append(
                (0..<Int.random(in: 1...5, using: &random)).map { _ in
                    random.bytes(Int.random(in: 0...30, using: &random))
                })
            let link = try peers.connect(0, 1)
            for _ in 0..<Int.random(in: 1...20, using: &random) {
                for position in 0..<2 {
                    guard let message = peers.links[link]?.ends[position].inbox.first else {
                        continue
                    }
                    var payload = message.payload
                    if Int.random(in: 0..<4, using: &random) == 0, !payload.isEmpty {
                        for _ in 0..<Int.random(in: 1...3, using: &random) {
                            let place = Int.random(in: 0..<payload.count, using: &random)
                            payload[place] = UInt8.random(in: .min ... .max, using: &random)
                        }
                        let type = Int.random(in: 0..<40, using: &random)
                        try peers.inject(
                            type < 10 ? type : message.type, payload, link: link, to: position)
                    } else {
                        try peers.deliver(link: link, to: position)
                    }
                }
            }
            try peers.cut(link)
            let (writer, reader) = (peers.devices[0].log, peers.devices[1].log)
            #expect(reader.requested.isEmpty && reader.upgradeOwner == nil, "seed \(seed)")
            #expect(reader.length <= writer.length, "seed \(seed)")
            for index in reader.held.runs.joined() {
                #expect(try reader.block(at: index) == writer.block(at: index), "seed \(seed)")
            }
        }
        #expect(peers.conflicts == 0)
        try peers.connect(0, 1)
        try peers.settle()
        #expect(peers.devices[1].log.treeHash == peers.devices[0].log.treeHash, "seed \(seed)")
        #expect(
            peers.devices[1].log.contiguousLength == peers.devices[0].log.length, "seed \(seed)")
    }
}

private func trueLog(_ blocks: [[UInt8]]) throws -> Log { try writer(blocks: blocks) }
