import Base
import Testing
import Wire

@testable import Chunks

/// Chunks of small random plaintexts, sealed.
private func makeChunks(_ count: Int, seed: UInt64, size: Int = 3000)
    -> [(reference: ChunkReference, plaintext: [UInt8], ciphertext: [UInt8])]
{
    let cipher = ChunkCipher(testKeys)
    return (0..<count).map { index in
        let plaintext = randomBytes(size + index, seed: seed &* 1000 &+ UInt64(index))
        let (reference, ciphertext) = cipher.seal(plaintext)
        return (reference, plaintext, ciphertext)
    }
}

extension ChunkExchange {
    fileprivate mutating func receive(_ message: ChunkMessage) -> [Effect] {
        var effects: [Effect] = []
        receive(type: message.type, payload: message.encode().span, into: &effects)
        return effects
    }

    fileprivate mutating func want(
        _ references: [ChunkReference], _ priority: ChunkPriority = .bulk
    ) -> [Effect] {
        var effects: [Effect] = []
        want(references, priority: priority, into: &effects)
        return effects
    }

    fileprivate mutating func cancel(_ references: [ChunkReference]) -> [Effect] {
        var effects: [Effect] = []
        cancel(references.map(\.address), into: &effects)
        return effects
    }

    fileprivate mutating func serve(queuedBytes: Int = 0) -> [Effect] {
        var effects: [Effect] = []
        serve(queuedBytes: queuedBytes, into: &effects)
        return effects
    }
}

extension [ChunkExchange.Effect] {
    fileprivate var messages: [ChunkMessage] {
        compactMap { effect in
            guard case .send(let type, let payload) = effect else { return nil }
            return try? ChunkMessage.decode(type: type, payload.span)
        }
    }

    fileprivate var isViolation: Bool {
        contains { if case .violation = $0 { true } else { false } }
    }
}

@Suite struct ChunkMessageTests {
    static let address = Bytes32(repeating: 0xab)

    static let samples: [(ChunkMessage, String)] = [
        (.want(.ahead, first: 300, [address]), "01fd2c0101" + address.hex),
        (.have([address, address]), "02" + address.hex + address.hex),
        (.missing([1, 253]), "0201fdfd00"),
        (.chunk(7, ciphertext: [1, 2, 3]), "07010203"),
        (.cancel([]), "00"),
        (.raise(.reader, [5]), "000105"),
    ]

    @Test(arguments: samples) func `the encoding is pinned`(message: ChunkMessage, hex: String)
        throws
    {
        #expect(message.encode().hex == hex)
        #expect(try ChunkMessage.decode(type: message.type, message.encode().span) == message)
    }

    @Test func `hostile messages throw and unknown types are passed over`() throws {
        var writer = WireWriter()
        writer.writeUInt(0)
        writer.writeUInt(0)
        writer.writeUInt(256)
        #expect(throws: WireError.self) { try ChunkMessage.decode(type: 0, writer.bytes.span) }
        let tooMany: [UInt8] = [0xfd, 0x01, 0x01]
        #expect(throws: WireError.self) { try ChunkMessage.decode(type: 2, tooMany.span) }
        let noPriority: [UInt8] = [3, 0]
        #expect(throws: WireError.self) { try ChunkMessage.decode(type: 5, noPriority.span) }
        let long = [UInt8](repeating: 0, count: ChunkLimits.ciphertextSizeMax + 2)
        #expect(throws: WireError.self) { try ChunkMessage.decode(type: 3, long.span) }
        #expect(try ChunkMessage.decode(type: 6, long.span) == nil)
        var random = SeededRandom(seed: 1)
        for _ in 0..<3000 {
            let bytes = random.bytes(Int.random(in: 0...80, using: &random))
            _ = try? ChunkMessage.decode(type: Int.random(in: 0...6, using: &random), bytes.span)
        }
    }
}

@Suite struct ChunkExchangeTests {
    private let chunks = makeChunks(6, seed: 1)

    private func storage(_ indices: [Int]) -> MemoryChunkStorage {
        let storage = MemoryChunkStorage()
        for index in indices {
            let chunk = chunks[index]
            storage.append(chunk.reference, plaintext: chunk.plaintext.span)
        }
        return storage
    }

    private func references(_ indices: [Int]) -> [ChunkReference] {
        indices.map { chunks[$0].reference }
    }

    @Test func `a want is answered with the chunk or with missing`() {
        var asker = ChunkExchange(storage: storage([]))
        var server = ChunkExchange(storage: storage([0]))
        let wants = asker.want(references([0, 1]))
        #expect(
            wants.messages == [
                .want(.bulk, first: 0, references([0, 1]).map(\.address))
            ])
        #expect(server.receive(wants.messages[0]).isEmpty)
        #expect(server.hasWork)
        let answers = server.serve()
        #expect(answers.messages == [.chunk(0, ciphertext: chunks[0].ciphertext), .missing([1])])
        #expect(!server.hasWork)
        #expect(
            asker.receive(answers.messages[0])
                == [.received(chunks[0].reference.address, chunks[0].ciphertext)])
        #expect(asker.receive(answers.messages[1]) == [.missing(chunks[1].reference.address)])
        #expect(asker.wantedCount == 0 && asker.outstanding.isEmpty)
    }

    @Test func `what was asked for in vain is told when it comes`() {
        var server = ChunkExchange(storage: storage([]))
        _ = server.receive(.want(.bulk, first: 0, [chunks[0].reference.address]))
        _ = server.serve()
        var effects: [ChunkExchange.Effect] = []
        server.stored(chunks[1].reference.address, into: &effects)
        #expect(effects.isEmpty)
        server.stored(chunks[0].reference.address, into: &effects)
        server.stored(chunks[0].reference.address, into: &effects)
        #expect(effects.messages == [.have([chunks[0].reference.address])])
        var asker = ChunkExchange(storage: storage([]))
        #expect(asker.receive(effects.messages[0]) == [.has([chunks[0].reference.address])])
    }

    @Test func `a chunk wanted twice is asked for once`() {
        var asker = ChunkExchange(storage: storage([]))
        _ = asker.want(references([0, 0, 1]))
        #expect(asker.want(references([0, 1])).isEmpty)
        #expect(asker.wantedCount == 2)
    }

    @Test func `the pressing is served first, and a want can become pressing`() {
        var asker = ChunkExchange(storage: storage([]))
        var server = ChunkExchange(storage: storage([0, 1, 2, 3]))
        var effects = asker.want(references([0, 1]))
        effects += asker.want(references([2]), .ahead)
        effects += asker.want(references([3]), .reader)
        effects += asker.want(references([1]), .reader)
        #expect(effects.messages.last == .raise(.reader, [1]))
        // A lower priority changes nothing.
        #expect(asker.want(references([3]), .bulk).isEmpty)
        for message in effects.messages { #expect(server.receive(message).isEmpty) }
        let order: [UInt64] = server.serve().messages.compactMap {
            if case .chunk(let want, _) = $0 { want } else { nil }
        }
        #expect(order == [1, 3, 2, 0])
    }

    @Test func `serving stops while enough is queued on the connection`() {
        let many = makeChunks(40, seed: 9, size: 120_000)
        let storage = MemoryChunkStorage()
        for chunk in many { storage.append(chunk.reference, plaintext: chunk.plaintext.span) }
        var server = ChunkExchange(storage: storage)
        _ = server.receive(.want(.bulk, first: 0, many.map(\.reference.address)))
        #expect(server.serve(queuedBytes: ChunkLimits.servedBytesQueuedMax).isEmpty)
        let first = server.serve().count
        #expect(first == 4)
        #expect(server.hasWork)
        var total = first
        while server.hasWork { total += server.serve().count }
        #expect(total == 40)
    }

    @Test func `cancelled wants are answered, and nobody hears of it`() {
        var asker = ChunkExchange(storage: storage([]))
        var server = ChunkExchange(storage: storage([0, 1, 2]))
        for message in asker.want(references([0, 1, 2])).messages { _ = server.receive(message) }
        // The first answer is under way when the cancel is sent.
        let answers = server.serve().messages
        let cancel = asker.cancel(references([0, 1, 5])).messages
        #expect(cancel == [.cancel([0, 1])])
        #expect(asker.wantedCount == 1)
        #expect(server.receive(cancel[0]).isEmpty)
        #expect(asker.receive(answers[0]).isEmpty)
        #expect(asker.receive(answers[1]).isEmpty)
        #expect(asker.receive(answers[2]).count == 1)

        // And one that comes in time.
        for message in asker.want(references([3, 4])).messages { _ = server.receive(message) }
        let late = asker.cancel(references([3])).messages
        let dropped = server.receive(late[0])
        #expect(dropped.messages == [.missing([3])])
        #expect(asker.receive(dropped.messages[0]).isEmpty)
        #expect(server.serve().messages == [.missing([4])])
    }

    @Test func `what is wanted again after a cancel is asked again`() {
        var asker = ChunkExchange(storage: storage([]))
        var server = ChunkExchange(storage: storage([0]))
        for message in asker.want(references([0])).messages { _ = server.receive(message) }
        let cancel = asker.cancel(references([0])).messages
        #expect(asker.want(references([0]), .reader).isEmpty)
        #expect(asker.wantedCount == 1)
        let dropped = server.receive(cancel[0]).messages
        let again = asker.receive(dropped[0])
        #expect(again.messages == [.want(.reader, first: 1, references([0]).map(\.address))])
        _ = server.receive(again.messages[0])
        #expect(asker.receive(server.serve().messages[0]).count == 1)
    }

    @Test func `bytes that are not the chunk's are a violation and are not handed up`() {
        for bytes in [chunks[1].ciphertext, Array(chunks[0].ciphertext.dropLast()), []] {
            var asker = ChunkExchange(storage: storage([]))
            _ = asker.want(references([0, 1]))
            let effects = asker.receive(.chunk(0, ciphertext: bytes))
            #expect(effects.count == 1 && effects.isViolation)
            #expect(Set(asker.outstanding) == Set(references([0, 1]).map(\.address)))
            // And it is over.
            #expect(asker.receive(.chunk(1, ciphertext: chunks[1].ciphertext)).isEmpty)
            #expect(asker.want(references([2])).isEmpty)
            #expect(asker.serve().isEmpty)
        }
    }

    @Test func `answers nobody waits for are violations`() {
        let hostile: [[ChunkMessage]] = [
            [.chunk(0, ciphertext: chunks[0].ciphertext)], [.missing([0])],
            [.want(.bulk, first: 1, [])], [.cancel([0])], [.raise(.bulk, [9])],
            [.want(.bulk, first: 0, [Bytes32.zero]), .want(.bulk, first: 0, [Bytes32.zero])],
        ]
        for messages in hostile {
            var exchange = ChunkExchange(storage: storage([]))
            var effects: [ChunkExchange.Effect] = []
            for message in messages { effects += exchange.receive(message) }
            #expect(effects.isViolation, "\(messages)")
        }
        // The same answer twice.
        var asker = ChunkExchange(storage: storage([]))
        _ = asker.want(references([0]))
        #expect(!asker.receive(.chunk(0, ciphertext: chunks[0].ciphertext)).isViolation)
        #expect(asker.receive(.chunk(0, ciphertext: chunks[0].ciphertext)).isViolation)
    }

    @Test func `a peer that asks for too much is a violation`() {
        var server = ChunkExchange(storage: storage([]))
        let half = [Bytes32](repeating: .zero, count: ChunkLimits.wantsInFlightMax / 2)
        #expect(server.receive(.want(.bulk, first: 0, half)).isEmpty)
        #expect(server.receive(.want(.bulk, first: 128, half)).isEmpty)
        #expect(server.receive(.want(.bulk, first: 256, [.zero])).isViolation)
    }

    @Test func `our own wants keep the limits and leave room for readers`() {
        let many = (0..<1000).map { ContentCodingTests.reference($0, length: 1000) }
        var asker = ChunkExchange(storage: storage([]))
        func asked(_ effects: [ChunkExchange.Effect]) -> Int {
            effects.messages.reduce(0) {
                if case .want(_, _, let addresses) = $1 { $0 + addresses.count } else { $0 }
            }
        }
        #expect(asked(asker.want(Array(many[..<900]))) == 192)
        #expect(asked(asker.want(Array(many[900..<990]), .ahead)) == 32)
        #expect(asked(asker.want(Array(many[990...]), .reader)) == 10)
        #expect(asker.wantedCount == 1000)
        #expect(asker.outstanding.count == 1000)
        // An answer makes room: 202 are in flight, and 192 must be for the next.
        #expect(asked(asker.receive(.missing(Array(0..<44)))) == 34)
    }

    @Test func `silence is noticed, progress forgives`() {
        var asker = ChunkExchange(storage: storage([]))
        func tick(_ seconds: Int) -> [ChunkExchange.Effect] {
            var effects: [ChunkExchange.Effect] = []
            asker.tick(now: .zero + .seconds(seconds), into: &effects)
            return effects
        }
        #expect(tick(0).isEmpty)
        #expect(tick(1000).isEmpty)
        _ = asker.want(references([0, 1]))
        #expect(tick(1001).isEmpty)
        #expect(tick(1100).isEmpty)
        _ = asker.receive(.missing([0]))
        #expect(tick(1120).isEmpty)
        #expect(tick(1239).isEmpty)
        #expect(tick(1240).isViolation)
    }

    @Test func `a chunk that rotted here is missing for others and reported to us`() {
        let storage = MemoryChunkStorage()
        var rotten = chunks[0].plaintext
        rotten[5] ^= 1
        storage.append(chunks[0].reference, plaintext: rotten.span)
        var server = ChunkExchange(storage: storage)
        _ = server.receive(.want(.bulk, first: 0, [chunks[0].reference.address]))
        let effects = server.serve()
        #expect(effects.messages == [.missing([0])])
        guard case .unreadable(let address, .corrupt) = effects[0] else {
            Issue.record("\(effects)")
            return
        }
        #expect(address == chunks[0].reference.address)
    }

    @Test func `a keeper fetches by address alone`() {
        var keeper = ChunkExchange(storage: storage([]))
        var server = ChunkExchange(storage: storage([0]))
        var effects: [ChunkExchange.Effect] = []
        server.announce([chunks[0].reference.address], into: &effects)
        guard case .has(let addresses) = keeper.receive(effects.messages[0])[0] else { return }
        effects = []
        keeper.want(addresses: addresses, into: &effects)
        _ = server.receive(effects.messages[0])
        #expect(
            keeper.receive(server.serve().messages[0])
                == [.received(addresses[0], chunks[0].ciphertext)])
    }
}

/// Peers that fetch from each other over links that deliver late and break.
@Suite struct ChunkExchangeSimulationTests {
    private struct Link {
        var exchanges: [ChunkExchange]
        /// Messages towards each end, in order.
        var queues: [[ChunkMessage]] = [[], []]
        var peers: [Int]
    }

    private final class World {
        let storages: [MemoryChunkStorage]
        var links: [Link?] = []
        /// What each peer still lacks.
        var lacking: [[Bytes32: ChunkReference]]
        var random: SeededRandom
        let liar: Int?
        var violations = 0
        var received = 0
        let cipher = ChunkCipher(testKeys)

        init(_ storages: [MemoryChunkStorage], _ all: [ChunkReference], seed: UInt64, liar: Int?) {
            self.storages = storages
            random = SeededRandom(seed: seed)
            self.liar = liar
            lacking = storages.map { storage in
                Dictionary(
                    uniqueKeysWithValues: all.filter { !storage.contains($0.address) }.map {
                        ($0.address, $0)
                    })
            }
        }

        func connect(_ first: Int, _ second: Int) {
            links.append(
                Link(
                    exchanges: [
                        ChunkExchange(storage: storages[first]),
                        ChunkExchange(storage: storages[second]),
                    ], peers: [first, second]))
            for end in 0...1 { wantAll(links.count - 1, end) }
        }

        func wantAll(_ link: Int, _ end: Int) {
            guard let peer = links[link]?.peers[end], peer != liar else { return }
            let wanted = lacking[peer].sorted { $0.key < $1.key }.map(\.value)
            let chosen = wanted.filter { _ in Int.random(in: 0..<3, using: &random) > 0 }
            let priority = ChunkPriority.allCases.randomElement(using: &random) ?? .bulk
            var effects: [ChunkExchange.Effect] = []
            links[link]?.exchanges[end].want(chosen, priority: priority, into: &effects)
            perform(effects, link, end)
        }

        func step() {
            let open = links.indices.filter { links[$0] != nil }
            guard let link = open.randomElement(using: &random) else { return }
            let end = Int.random(in: 0...1, using: &random)
            var effects: [ChunkExchange.Effect] = []
            switch Int.random(in: 0..<12, using: &random) {
            case 0..<7:
                guard let count = links[link]?.queues[end].count, count > 0,
                    let message = links[link]?.queues[end].removeFirst()
                else { return }
                links[link]?.exchanges[end].receive(
                    type: message.type, payload: message.encode().span, into: &effects)
            case 7..<10:
                links[link]?.exchanges[end].serve(
                    queuedBytes: Int.random(in: 0...(3 << 20), using: &random), into: &effects)
            case 10:
                wantAll(link, end)
            default:
                guard let peer = links[link]?.peers[end] else { return }
                let some = lacking[peer].keys.sorted().prefix(3)
                links[link]?.exchanges[end].cancel(Array(some), into: &effects)
            }
            perform(effects, link, end)
        }

        func perform(_ effects: [ChunkExchange.Effect], _ link: Int, _ end: Int) {
            guard let peer = links[link]?.peers[end] else { return }
            for effect in effects {
                switch effect {
                case .send(let type, var payload):
                    if peer == liar, type == 3, Int.random(in: 0..<5, using: &random) == 0 {
                        payload[payload.count / 2] ^= 1
                    }
                    guard let message = try? ChunkMessage.decode(type: type, payload.span) else {
                        Issue.record("an undecodable message")
                        return
                    }
                    links[link]?.queues[1 - end].append(message)
                case .received(let address, var ciphertext):
                    received += 1
                    // Another link may have brought it meanwhile.
                    guard let reference = lacking[peer][address] else { continue }
                    do {
                        try cipher.open(&ciphertext, as: reference, addressChecked: true)
                    } catch {
                        Issue.record("a chunk that was handed up does not open: \(error)")
                    }
                    storages[peer].append(reference, plaintext: ciphertext.span)
                    lacking[peer][address] = nil
                    for other in links.indices {
                        for side in 0...1 where links[other]?.peers[side] == peer {
                            var more: [ChunkExchange.Effect] = []
                            links[other]?.exchanges[side].stored(address, into: &more)
                            links[other]?.exchanges[side].cancel([address], into: &more)
                            perform(more, other, side)
                        }
                    }
                case .has(let addresses):
                    var more: [ChunkExchange.Effect] = []
                    let wanted = addresses.compactMap { lacking[peer][$0] }
                    links[link]?.exchanges[end].want(wanted, priority: .reader, into: &more)
                    perform(more, link, end)
                case .missing: break
                case .unreadable: Issue.record("storage here is sound")
                case .violation(let what):
                    violations += 1
                    if links[link]?.peers[1 - end] != liar { Issue.record("\(what)") }
                    links[link] = nil
                    return
                }
            }
        }
    }

    @Test(arguments: 1...20 as ClosedRange<UInt64>)
    func `peers get everything in spite of broken links and a liar`(seed: UInt64) {
        var random = SeededRandom(seed: seed &+ 77)
        let chunks = makeChunks(30, seed: seed, size: 400)
        let count = Int.random(in: 2...3, using: &random)
        let storages = (0..<count).map { _ in MemoryChunkStorage() }
        for chunk in chunks {
            let owner = storages[Int.random(in: 0..<count, using: &random)]
            owner.append(chunk.reference, plaintext: chunk.plaintext.span)
        }
        // With a liar, the others must be able to do without it.
        let liar = count == 3 && seed % 2 == 0 ? 2 : nil
        if liar != nil {
            for chunk in chunks {
                storages[0].append(chunk.reference, plaintext: chunk.plaintext.span)
            }
        }
        let world = World(storages, chunks.map(\.reference), seed: seed, liar: liar)
        let honest = (0..<count).filter { $0 != liar }
        var steps = 0
        while honest.contains(where: { !world.lacking[$0].isEmpty }), steps < 60_000 {
            if steps % 500 == 0 {
                for index in world.links.indices { world.links[index] = nil }
                for first in 0..<count {
                    for second in first + 1..<count { world.connect(first, second) }
                }
            }
            world.step()
            steps += 1
        }
        for peer in honest {
            #expect(world.lacking[peer].isEmpty, "seed \(seed)")
            for chunk in chunks {
                var bytes: [UInt8] = []
                #expect((try? storages[peer].readAll(chunk.reference, into: &bytes)) == true)
                #expect(bytes == chunk.plaintext, "seed \(seed)")
            }
        }
        if liar == nil { #expect(world.violations == 0) }
    }

    @Test func `one seed, one run`() {
        func run() -> (Int, Int, [Int]) {
            let chunks = makeChunks(20, seed: 5, size: 400)
            let storages = (0..<3).map { _ in MemoryChunkStorage() }
            for (index, chunk) in chunks.enumerated() {
                storages[index % 3].append(chunk.reference, plaintext: chunk.plaintext.span)
            }
            let world = World(storages, chunks.map(\.reference), seed: 4, liar: nil)
            world.connect(0, 1)
            world.connect(1, 2)
            for _ in 0..<400 { world.step() }
            return (world.received, world.violations, world.lacking.map(\.count))
        }
        let (first, second) = (run(), run())
        #expect(first == second)
        #expect(first.0 > 0)
    }
}
