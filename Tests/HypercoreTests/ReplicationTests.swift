import Base
import Crypto
import Testing

@testable import Hypercore

struct ReplicationTests {
    private func blocks(_ count: Int, size: Int = 200, from first: Int = 0) -> [[UInt8]] {
        (first..<first + count).map { number in
            [UInt8](repeating: UInt8(truncatingIfNeeded: number), count: size)
        }
    }

    private func expectEqual(_ peers: SimulatedPeers) throws {
        let first = peers.devices[0].log
        for device in peers.devices {
            #expect(device.log.length == first.length)
            #expect(device.log.treeHash == first.treeHash)
            #expect(device.log.contiguousLength == first.contiguousLength)
            #expect(device.log.requested.isEmpty && device.log.upgradeOwner == nil)
            for index in 0..<first.contiguousLength {
                #expect(try device.log.block(at: index) == first.block(at: index))
            }
        }
    }

    @Test func `a fresh reader of 10,000 blocks is pipelined and sent no path twice`() throws {
        var peers = try SimulatedPeers(readers: 1)
        try peers.append(blocks(10_000, size: 20))
        try peers.connect(0, 1)
        let flights = try peers.settle()
        // Every window is one flight there and one back; the window slides, so halves overlap.
        #expect(flights < 2 * 10_000 / Limits.requestsInFlightMax + 8, "\(flights) flights")
        #expect(peers.proofNodesSent <= 10_000)
        #expect(peers.sent[.request] == 10_001)
        #expect(peers.violations.isEmpty)
        #expect(peers.devices[1].storedCounts.values.allSatisfy { $0 == 1 })
        #expect(peers.devices[1].log.contiguousLength == 10_000)
        #expect(peers.devices[1].log.treeHash == peers.devices[0].log.treeHash)
    }

    @Test func `a sparse reader fetches what it wants and proves it`() throws {
        var peers = try SimulatedPeers(readers: 1)
        try peers.append(blocks(10_000, size: 20))
        let wanted: [UInt64] = [0, 77, 4_321, 5_000, 9_999, 20_000]
        peers.devices[1].log.want(only: wanted)
        try peers.connect(0, 1)
        try peers.settle()
        let (writer, reader) = (peers.devices[0].log, peers.devices[1].log)
        #expect(reader.length == 10_000 && reader.treeHash == writer.treeHash)
        for index in 0..<UInt64(10_000) {
            #expect(reader.hasBlock(at: index) == wanted.contains(index))
        }
        for index in wanted.dropLast() {
            #expect(try reader.block(at: index) == writer.block(at: index))
        }
        #expect(peers.sent[.request, default: 0] <= wanted.count)
        #expect(peers.violations.isEmpty)
    }

    @Test func `one appended block costs one request and one answer`() throws {
        for length in [1, 2, 3, 7, 8, 63, 64, 100] {
            var peers = try SimulatedPeers(readers: 1)
            try peers.append(blocks(length))
            try peers.connect(0, 1)
            try peers.settle()
            peers.forgetCounts()
            try peers.append(blocks(1, from: length))
            try peers.settle()
            #expect(peers.sent[.request] == 1)
            #expect(peers.sent[.data] == 1)
            try expectEqual(peers)
        }
    }

    @Test(arguments: [1, 2, 3, 5, 8, 31, 64])
    func `several appended blocks are asked for in one flight`(count: Int) throws {
        for length in [0, 1, 5, 8, 100] {
            var peers = try SimulatedPeers(readers: 1)
            try peers.append(blocks(length))
            try peers.connect(0, 1)
            try peers.settle()
            peers.forgetCounts()
            try peers.append(blocks(count, from: length))
            // News, requests, answers; the last flight is the reader's own news.
            let flights = try peers.settle()
            #expect(flights <= 4)
            #expect(peers.sent[.request] == count)
            #expect(peers.sent[.noData] == nil)
            try expectEqual(peers)
        }
    }

    @Test func `two connections to two holders share the work`() throws {
        var peers = try SimulatedPeers(readers: 2)
        try peers.append(blocks(2000, size: 20))
        try peers.connect(0, 1)
        try peers.settle()
        peers.forgetCounts()
        try peers.connect(2, 0)
        try peers.connect(2, 1)
        try peers.connect(1, 2)
        try peers.settle()
        // And once an upgrade, and on the other two channels a comparison of what it led to.
        #expect(peers.sent[.data, default: 0] <= 2003)
        #expect(peers.devices[2].storedCounts.values.allSatisfy { $0 == 1 })
        #expect(peers.violations.isEmpty)
        try expectEqual(peers)
    }

    @Test func `the writer learns how much a reader has`() throws {
        let writer = try writer(blocks: blocks(3))
        let reader = try Log(
            storage: MemoryLogStorage(), slot: .init(rawValue: 1), key: writer.key)
        let hash = [UInt8](repeating: 1, count: 64)
        var here = LogReplication(log: writer, handshakeHash: hash, isInitiator: true)
        var there = LogReplication(log: reader, handshakeHash: hash, isInitiator: false)
        var fromHere: [LogReplication.Effect] = []
        var fromThere: [LogReplication.Effect] = []
        try here.opened(remoteHandshake: there.openHandshake, into: &fromHere)
        try there.opened(remoteHandshake: here.openHandshake, into: &fromThere)
        var acknowledged: [UInt64] = []
        while !fromHere.isEmpty || !fromThere.isEmpty {
            let (toThere, toHere) = (fromHere, fromThere)
            (fromHere, fromThere) = ([], [])
            for case .send(let type, let payload) in toThere {
                try there.receive(type: type, payload: payload.span, into: &fromThere)
            }
            for case .send(let type, let payload) in toHere {
                try here.receive(type: type, payload: payload.span, into: &fromHere)
            }
            for case .remoteAcknowledged(let length) in fromHere { acknowledged.append(length) }
        }
        #expect(acknowledged == [3])
        #expect(here.remoteContiguousLength == 3 && here.remoteLength == 3)
    }

    @Test func `cleared blocks are found at another holder`() throws {
        var peers = try SimulatedPeers(readers: 2)
        try peers.append(blocks(100))
        try peers.connect(0, 1)
        try peers.settle()
        try peers.devices[0].log.clear(0..<40)
        try peers.devices[1].log.clear(60..<100)
        try peers.localChanged(on: 0)
        try peers.localChanged(on: 1)
        try peers.settle()
        try peers.connect(2, 0)
        try peers.connect(2, 1)
        try peers.settle()
        #expect(peers.violations.isEmpty)
        #expect(peers.devices[2].log.contiguousLength == 100)
        // What was cleared from the front is not fetched again; what was not is.
        #expect(peers.devices[0].log.held == BlockSet([40..<100]))
        #expect(peers.devices[1].log.contiguousLength == 100)
    }

    @Test func `a block that nobody announces is not asked for`() throws {
        var peers = try SimulatedPeers(readers: 1)
        try peers.append(blocks(3))
        try peers.devices[0].log.clear(1..<2)
        try peers.connect(0, 1)
        try peers.settle()
        #expect(peers.devices[1].log.length == 3)
        #expect(peers.devices[1].log.held == BlockSet([0..<1, 2..<3]))
        #expect(peers.sent[.want] == 2 && peers.sent[.bitfield] == 2)
        #expect(peers.sent[.noData] == nil)
    }

    @Test func `a full disk is thrown to the owner and the block is fetched later`() throws {
        var peers = try SimulatedPeers(readers: 1)
        try peers.append(blocks(20))
        try peers.connect(0, 1)
        for _ in 0..<2 {
            try peers.deliver(link: 0, to: 1)
            try peers.deliver(link: 0, to: 1)
            try peers.deliver(link: 0, to: 0)
            try peers.deliver(link: 0, to: 0)
        }
        peers.withStorage(of: 1) { $0.failure = .full }
        var failures = 0
        while peers.links[0]?.ends[1].inbox.isEmpty == false {
            do { try peers.deliver(link: 0, to: 1) } catch let error as StorageError {
                #expect(error == .full)
                failures += 1
            }
        }
        #expect(failures > 0)
        peers.withStorage(of: 1) { $0.failure = nil }
        try peers.localChanged(on: 1)
        try peers.settle()
        #expect(peers.violations.isEmpty)
        try expectEqual(peers)
    }

    @Test func `what cannot be read is refused and fetched after the next news`() throws {
        var peers = try SimulatedPeers(readers: 1)
        try peers.append(blocks(4))
        try peers.connect(0, 1)
        for _ in 0..<4 { try peers.deliver(link: 0, to: 1) }
        peers.withStorage(of: 0) { $0.failure = .io(code: 5, action: "reading") }
        var failures = 0
        while peers.links[0]?.ends[0].inbox.isEmpty == false {
            do { try peers.deliver(link: 0, to: 0) } catch let error as StorageError {
                #expect(error == .io(code: 5, action: "reading"))
                failures += 1
            }
        }
        #expect(failures > 0)
        peers.withStorage(of: 0) { $0.failure = nil }
        try peers.settle()
        try peers.append(blocks(1, from: 4))
        try peers.settle()
        #expect(peers.violations.isEmpty)
        try expectEqual(peers)
    }

    @Test func `an answer that never comes holds up no others`() throws {
        var peers = try SimulatedPeers(readers: 1)
        try peers.append(blocks(300))
        let link = try peers.connect(0, 1)
        for _ in 0..<4 { try peers.deliver(link: link, to: 1) }
        for _ in 0..<2 { try peers.deliver(link: link, to: 0) }
        // The request for block 0, which teaches all of its path, is lost.
        peers.lose(link: link, to: 0)
        try peers.settle()
        #expect(peers.devices[1].log.held == BlockSet([1..<300]))
        for second: UInt64 in [1, 22, 27] {
            try peers.tick(Instant(nanoseconds: second * 1_000_000_000))
            try peers.settle()
        }
        #expect(peers.violations.isEmpty)
        try expectEqual(peers)
    }

    @Test func `a silent peer loses its requests to others`() throws {
        var peers = try SimulatedPeers(readers: 2)
        try peers.append(blocks(50))
        try peers.connect(0, 1)
        try peers.settle()
        let silent = try peers.connect(2, 0)
        // The writer's news arrive, the reader's requests do not.
        for _ in 0..<2 { try peers.deliver(link: silent, to: 0) }
        #expect(peers.devices[2].log.upgradeOwner != nil)
        let other = try peers.connect(2, 1)
        func pump() throws {
            while peers.links[other]?.ends.contains(where: { !$0.inbox.isEmpty }) == true {
                try peers.deliver(link: other, to: 0)
                try peers.deliver(link: other, to: 1)
            }
        }
        try pump()
        #expect(peers.devices[2].log.length == 0)
        for second: UInt64 in [1, 10, 22] {
            try peers.tick(Instant(nanoseconds: second * 1_000_000_000))
        }
        try pump()
        #expect(peers.devices[2].log.contiguousLength == 50)
        #expect(peers.violations.isEmpty)
        try peers.settle()
        try expectEqual(peers)
    }

    @Test func `answers wait while the connection is full`() throws {
        let writer = try writer(blocks: blocks(8, size: 600_000))
        let reader = try Log(
            storage: MemoryLogStorage(), slot: .init(rawValue: 1), key: writer.key)
        let hash = [UInt8](repeating: 1, count: 64)
        var here = LogReplication(log: writer, handshakeHash: hash, isInitiator: true)
        let there = LogReplication(log: reader, handshakeHash: hash, isInitiator: false)
        var effects: [LogReplication.Effect] = []
        try here.opened(remoteHandshake: there.openHandshake, into: &effects)
        here.queuedBytes = Limits.queuedBytesMax
        effects = []
        for index in 0..<8 as Range<UInt64> {
            let request = RequestMessage(
                id: index + 1, fork: 0, block: .init(index: index, nodes: 0),
                priority: index == 7 ? 1 : 0)
            try here.receive(type: 1, payload: request.encoded().span, into: &effects)
        }
        #expect(effects.isEmpty)
        try here.receive(type: 2, payload: CancelMessage(request: 3).encoded().span, into: &effects)
        try here.drained(queuedBytes: 0, into: &effects)
        func answered() throws -> [UInt64] {
            try effects.map { effect in
                guard case .send(3, let payload) = effect else { return 0 }
                return try DataMessage(decoding: payload.span).request
            }
        }
        #expect(try answered() == [8, 1])
        try here.drained(queuedBytes: 0, into: &effects)
        try here.drained(queuedBytes: 0, into: &effects)
        try here.drained(queuedBytes: 0, into: &effects)
        #expect(try answered() == [8, 1, 2, 4, 5, 6, 7])
    }

    @Test func `a request of another fork gets no data`() throws {
        let log = try writer(blocks: blocks(2))
        let hash = [UInt8](repeating: 1, count: 64)
        var here = LogReplication(log: log, handshakeHash: hash, isInitiator: true)
        let there = LogReplication(log: log, handshakeHash: hash, isInitiator: false)
        var effects: [LogReplication.Effect] = []
        try here.opened(remoteHandshake: there.openHandshake, into: &effects)
        effects = []
        for (id, request) in [
            RequestMessage(id: 1, fork: 1, upgrade: .init(start: 0, length: 2)),
            RequestMessage(id: 2, fork: 0, block: .init(index: 9, nodes: 0)),
            RequestMessage(id: 3, fork: 0, manifest: true),
            RequestMessage(id: 0, fork: 0, upgrade: .init(start: 0, length: 2)),
        ].enumerated() {
            try here.receive(type: 1, payload: request.encoded().span, into: &effects)
            #expect(effects.count == id + 1)
        }
        #expect(effects[0] == .send(type: 4, payload: [1, 1, 1]))
        #expect(effects[1] == .send(type: 4, payload: [2, 1, 2]))
        let manifestOnly = DataMessage(
            request: 3, proof: Proof(fork: 0, manifest: log.manifest))
        #expect(effects[2] == .send(type: 3, payload: manifestOnly.encoded()))
        guard case .send(3, let payload) = effects[3] else {
            Issue.record("request 0 is not answered")
            return
        }
        let data = try DataMessage(decoding: payload.span)
        #expect(data.request == 0 && data.proof.upgrade?.length == 2)
    }

    // MARK: Forks and two histories

    @Test func `readers that follow forks go over to a truncated log`() throws {
        var peers = try SimulatedPeers(readers: 2, followsForks: true)
        try peers.append(blocks(20))
        try peers.connect(0, 1)
        try peers.connect(1, 2)
        try peers.settle()
        try expectEqual(peers)
        try peers.devices[0].log.truncate(to: 12)
        try peers.append(blocks(5, size: 33))
        try peers.settle()
        #expect(peers.devices[2].log.fork == 1)
        #expect(peers.violations.isEmpty)
        try expectEqual(peers)
        try peers.restart(2)
        #expect(peers.devices[2].log.contiguousLength == 17)
    }

    @Test func `readers that keep their fork keep their blocks`() throws {
        var peers = try SimulatedPeers(readers: 2)
        try peers.append(blocks(20))
        try peers.connect(0, 1)
        try peers.settle()
        try peers.devices[0].log.truncate(to: 12)
        try peers.append(blocks(5, size: 33))
        try peers.settle()
        #expect(peers.devices[1].log.fork == 0 && peers.devices[1].log.length == 20)
        // An empty log takes the fork that there is.
        try peers.connect(0, 2)
        try peers.settle()
        #expect(peers.devices[2].log.fork == 1 && peers.devices[2].log.contiguousLength == 17)
        #expect(peers.violations.isEmpty)
    }

    @Test func `a writer that signs two histories is found out`() throws {
        var peers = try SimulatedPeers(readers: 2)
        try peers.append(blocks(6))
        try peers.connect(0, 1)
        try peers.settle()
        // The writer's machine was cloned: device 2 writes on as well.
        try peers.connect(0, 2)
        try peers.settle()
        try peers.restart(2, keyPair: SimulatedPeers.pair)
        try peers.append([[1], [2]], on: 0)
        try peers.settle()
        try peers.append([[3], [4], [5]], on: 2)
        try peers.connect(1, 2)
        try peers.settle()
        #expect(peers.conflicts > 0)
        #expect(peers.violations.isEmpty)
        #expect(try peers.devices[1].log.block(at: 6) == [1])
        #expect(peers.devices[1].log.length == 8)
    }

    /// The lengths are the same, and the writer has proved what it has: only who cannot take that can tell.
    @Test func `a proof that comes after another history's is compared`() throws {
        var peers = try SimulatedPeers(readers: 2)
        try peers.append(blocks(6))
        let slow = try peers.connect(0, 1)
        try peers.connect(0, 2)
        try peers.settle()
        try peers.restart(2, keyPair: SimulatedPeers.pair)
        let other = try peers.connect(1, 2)
        try peers.settle()
        try peers.append([[1]], on: 0)
        while peers.links[slow]?.ends[1].inbox.isEmpty == false {
            try peers.deliver(link: slow, to: 1)
        }
        // The answer is under way for too long.
        while peers.links[slow]?.ends[0].inbox.isEmpty == false {
            try peers.deliver(link: slow, to: 0)
        }
        for second: UInt64 in [1, 10, 22] {
            try peers.tick(Instant(nanoseconds: second * 1_000_000_000))
        }
        try peers.append([[2]], on: 2)
        while peers.links[other]?.ends.contains(where: { !$0.inbox.isEmpty }) == true {
            try peers.deliver(link: other, to: 0)
            try peers.deliver(link: other, to: 1)
        }
        #expect(try peers.devices[1].log.block(at: 6) == [2])
        try peers.settle()
        #expect(peers.conflicts > 0)
        #expect(peers.violations.isEmpty)
    }

    @Test func `a writer that lost its last blocks gets them back`() throws {
        var peers = try SimulatedPeers(readers: 1)
        try peers.append(blocks(4))
        try peers.connect(0, 1)
        try peers.settle()
        peers.rememberStorage(of: 0)
        try peers.append(blocks(3, from: 4))
        try peers.settle()
        // The disk forgot what was written last.
        try peers.restoreStorage(of: 0)
        #expect(peers.devices[0].log.length == 4)
        try peers.connect(0, 1)
        try peers.settle()
        #expect(peers.devices[0].log.contiguousLength == 7)
        try peers.append(blocks(1, from: 7))
        try peers.settle()
        #expect(peers.violations.isEmpty && peers.conflicts == 0)
        try expectEqual(peers)
    }

    /// Device 1 has all but the last blocks, device 2 nothing.
    @Test func `a writer that withholds what others lack compares what they have`() throws {
        var peers = try SimulatedPeers(readers: 2)
        try peers.append(blocks(40))
        let first = try peers.connect(0, 1)
        try peers.settle()
        try peers.cut(first)
        try peers.append(blocks(30, from: 40))
        let again = try peers.connect(0, 1, withholds: true)
        let new = try peers.connect(0, 2, withholds: true)
        try peers.settle()
        #expect(peers.shared.last == 40)
        try peers.append(blocks(1, from: 70))
        try peers.settle()
        #expect(peers.devices[1].log.length == 40)
        #expect(peers.devices[2].log.length == 0)
        for link in [again, new] { try peers.showAll(on: link) }
        try peers.settle()
        #expect(peers.devices[0].log.length == 71)
        #expect(peers.violations.isEmpty && peers.conflicts == 0)
        try expectEqual(peers)
    }

    /// The writer's state is a restored one, and it went on: to as much as others have, less or more.
    @Test(arguments: [0, 1, 2, 3, 9])
    func `a writer that withholds takes what it lacks and finds another history`(written: Int)
        throws
    {
        var peers = try SimulatedPeers(readers: 2)
        try peers.append(blocks(6))
        let link = try peers.connect(0, 1)
        try peers.settle()
        try peers.cut(link)
        peers.rememberStorage(of: 0)
        try peers.append([[1], [2]])
        try peers.connect(0, 1)
        try peers.settle()
        try peers.restoreStorage(of: 0)
        try peers.append(blocks(written, from: 100))
        // Device 2 has nothing of either history.
        let new = try peers.connect(0, 2, withholds: true)
        try peers.connect(0, 1, withholds: true)
        try peers.settle()
        #expect(peers.devices[2].log.length == 0)
        #expect((peers.conflicts > 0) == (written > 0))
        #expect(peers.devices[0].log.length == (written > 0 ? 6 + UInt64(written) : 8))
        #expect(try peers.devices[1].log.block(at: 6) == [1])
        #expect(peers.violations.isEmpty)
        guard written == 0 else { return }
        try peers.showAll(on: new)
        try peers.settle()
        try expectEqual(peers)
    }

    // MARK: Simulation

    @Test(arguments: 0..<40)
    func `peers converge whatever is appended and cut`(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        let readers = Int.random(in: 1...3, using: &random)
        var peers = try SimulatedPeers(readers: readers, followsForks: true)
        let count = readers + 1
        let cuts = seed % 4 != 0
        for _ in 0..<600 {
            let names = peers.links.keys.sorted()
            switch Int.random(in: 0..<100, using: &random) {
            case 0..<8:
                let new = (0..<Int.random(in: 1...9, using: &random)).map { _ in
                    random.bytes(Int.random(in: 0...60, using: &random))
                }
                try peers.append(new)
            case 8..<12 where names.count < 8:
                let first = Int.random(in: 0..<count, using: &random)
                let second = Int.random(in: 0..<count, using: &random)
                if first != second { try peers.connect(first, second) }
            case 12..<14 where cuts:
                if let name = names.randomElement(using: &random) { try peers.cut(name) }
            case 14 where cuts && Int.random(in: 0..<4, using: &random) == 0:
                try peers.restart(Int.random(in: 1..<count, using: &random))
            case 15 where seed % 8 == 3:
                let log = peers.devices[0].log
                if log.length > 4 {
                    try log.truncate(to: UInt64.random(in: 1..<log.length, using: &random))
                    try peers.localChanged(on: 0)
                }
            case 16 where seed % 8 == 5:
                let log = peers.devices[Int.random(in: 0..<count, using: &random)].log
                let first = UInt64.random(in: 0...log.length, using: &random)
                try log.clear(first..<first + 3)
            default:
                guard let name = names.randomElement(using: &random) else { continue }
                let position = Int.random(in: 0..<2, using: &random)
                for _ in 0..<Int.random(in: 1...6, using: &random) {
                    try peers.deliver(link: name, to: position)
                }
            }
        }
        for reader in 1..<count { try peers.connect(0, reader) }
        for device in 0..<count { try peers.localChanged(on: device) }
        try peers.settle()
        // What was refused once is asked for again after news.
        for _ in 0..<3 {
            try peers.append([[7]])
            try peers.settle()
        }
        #expect(peers.violations.isEmpty, "seed \(seed)")
        #expect(peers.conflicts == 0, "seed \(seed)")
        if seed % 8 != 5 {
            try expectEqual(peers)
            for device in peers.devices {
                #expect(device.storedCounts.values.allSatisfy { $0 == 1 }, "seed \(seed)")
            }
        }
    }
}
