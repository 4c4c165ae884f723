import Base
import Crypto
import Testing

@testable import Hypercore

/// Copies that lack the beginning of their log, and what they can still show each other.
struct PartialCopyTests {
    private func blocks(_ range: Range<UInt64>, of history: UInt8 = 1) -> [[UInt8]] {
        range.map { [history, UInt8(truncatingIfNeeded: $0)] }
    }

    private func held(_ log: Log) -> [UInt64] {
        (0..<log.length).filter { log.hasBlock(at: $0) }
    }

    @Test func `single blocks are fetched where those around them are not`() throws {
        var peers = try SimulatedPeers(readers: 2)
        try peers.append(blocks(0..<40))
        // The first one to ask has gaps too.
        peers.devices[1].log.want(only: [0, 7, 12, 39])
        try peers.connect(0, 1)
        try peers.settle()
        let log = peers.devices[2].log
        log.fetchStart = 38
        #expect(log.seek([0, 7, 20, 39]))
        let link = try peers.connect(1, 2)
        try peers.settle()
        #expect(held(log) == [0, 7, 39])
        try peers.cut(link)
        try peers.connect(0, 2)
        try peers.settle()
        #expect(held(log) == [0, 7, 20, 38, 39])
        #expect(!log.seek([0, 7, 20]))
        #expect(peers.violations.isEmpty)
    }

    @Test func `blocks sought later are asked for on a channel that is open`() throws {
        var peers = try SimulatedPeers(readers: 1)
        try peers.append(blocks(0..<40))
        let log = peers.devices[1].log
        log.fetchStart = 40
        try peers.connect(0, 1)
        try peers.settle()
        #expect(held(log) == [])
        #expect(log.seek([3]))
        try peers.localChanged(on: 1)
        try peers.settle()
        #expect(held(log) == [3])
    }

    /// A reader that has the first blocks, and another that has the last one alone.
    private func apart(_ first: UInt64, _ length: UInt64) throws -> SimulatedPeers {
        var peers = try SimulatedPeers(readers: 2)
        try peers.append(blocks(0..<first))
        let early = try peers.connect(0, 2)
        try peers.settle()
        try peers.cut(early)
        try peers.append(blocks(first..<length))
        peers.devices[1].log.want(only: [length - 1])
        let late = try peers.connect(0, 1)
        try peers.settle()
        try peers.cut(late)
        return peers
    }

    private func wait(_ peers: inout SimulatedPeers, to end: UInt64 = 60) throws {
        for second in stride(from: 0 as UInt64, through: end, by: 5) {
            try peers.settle()
            try peers.tick(Instant(nanoseconds: second * 1_000_000_000))
        }
        try peers.settle()
        #expect(peers.violations.isEmpty && peers.conflicts == 0)
    }

    @Test func `it is known that a log is longer where nobody can show how it goes on`() throws {
        var peers = try apart(3, 40)
        try peers.connect(1, 2)
        try wait(&peers, to: 5)
        #expect(peers.devices[2].log.signedLength == 3)
        try wait(&peers)
        #expect(peers.devices[2].log.length == 3 && peers.devices[2].log.signedLength == 40)
    }

    @Test(arguments: [(3, 39, 3), (3, 4, 3), (6, 2, 2), (6, 6, 6)])
    func `what is needed only from a block on is taken up there`(
        first: UInt64, start: UInt64, kept: UInt64
    ) throws {
        var peers = try apart(first, 40)
        let log = peers.devices[2].log
        log.fetchStart = start
        log.mayLeap = start <= first
        try peers.connect(1, 2)
        try wait(&peers)
        #expect(log.length == 40)
        #expect(held(log) == Array(0..<kept) + [39])
        try peers.connect(0, 2)
        try wait(&peers)
        #expect(held(log) == Array(0..<kept) + Array(start..<40))
        #expect(peers.devices[2].log.treeHash == peers.devices[0].log.treeHash)
        #expect(try log.check().problems.isEmpty)
    }

    @Test(arguments: [(1, 20), (2, 0)])
    func `what is shown to be of another history is not kept`(history: UInt8, kept: UInt64) throws {
        var peers = try SimulatedPeers(readers: 1)
        try peers.append(blocks(0..<33))
        try peers.connect(0, 1)
        try peers.settle()
        var others = try SimulatedPeers(readers: 0)
        try others.append(blocks(0..<1) + blocks(1..<40, of: history))
        let other = others.devices[0].log
        let request = RequestMessage(id: 0, fork: 0, upgrade: .init(start: 0, length: 40))
        let log = peers.devices[1].log
        let signed = try log.signedTree(from: other.proof(for: request))
        log.fetchStart = 20
        #expect(try !log.leap(to: signed, other.signature))
        log.mayLeap = true
        #expect(try log.leap(to: signed, other.signature))
        #expect(log.length == 40 && held(log) == Array(0..<kept))
        #expect(try log.check().problems.isEmpty)
    }

    @Test(arguments: [(20, 16, 40), (20, 20, 33), (9, 6, 10), (1, 1, 8), (5, 8, 8)])
    func `of another history is taken what hashes show to be the same`(
        common: UInt64, start: UInt64, length: UInt64
    ) throws {
        var peers = try SimulatedPeers(readers: 2)
        try peers.append(blocks(0..<common) + blocks(common..<length, of: 2))
        peers.devices[1].log.fetchStart = start
        let link = try peers.connect(0, 1)
        try peers.settle()
        // Where they part before the copy begins, it was looked up.
        if common < start {
            try peers.askPrefix(common, on: link)
            try peers.settle()
        }
        let own = try Log.create(
            storage: MemoryLogStorage(), slot: .init(rawValue: 2), keyPair: SimulatedPeers.pair)
        try own.append(blocks(0..<common) + blocks(common..<common + 3, of: 3))
        let copy = peers.devices[1].log
        try copy.takeOver(from: own, blocks: [0, common])
        #expect(held(copy) == [0] + (max(1, start)..<max(1, length)).filter { $0 >= start })
        #expect(try copy.check().problems.isEmpty)
        // It can show how the log goes on from any block that both have.
        for from in 1..<common {
            let request = RequestMessage(
                id: 1, fork: 0, upgrade: .init(start: from, length: length - from))
            #expect(throws: Never.self) { try copy.proof(for: request) }
        }
    }

    @Test func `a writer knows which copies are of its history`() throws {
        var peers = try SimulatedPeers(readers: 2)
        try peers.append(blocks(0..<5))
        try peers.connect(0, 1)
        try peers.settle()
        #expect(peers.shared == [5])
        try peers.append(blocks(5..<9))
        try peers.settle()
        #expect(peers.shared == [5, 9])
        try peers.restart(0, keyPair: SimulatedPeers.pair)
        try peers.connect(0, 1)
        try peers.settle()
        #expect(peers.shared == [5, 9, 9])
        // A backup, written to.
        try peers.restart(2, keyPair: SimulatedPeers.pair)
        try peers.append(blocks(0..<4) + blocks(4..<9, of: 2), on: 2)
        try peers.connect(1, 2)
        try peers.settle()
        #expect(peers.shared == [5, 9, 9] && peers.conflicts == 2)
    }
}
