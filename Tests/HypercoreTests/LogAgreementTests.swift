import Base
import Crypto
import Testing

@testable import Hypercore

/// Where two histories of a log part, when the blocks that would show it are gone.
struct LogAgreementTests {
    private func blocks(_ range: Range<UInt64>, of history: UInt8) -> [[UInt8]] {
        range.map { [history, UInt8(truncatingIfNeeded: $0), UInt8(truncatingIfNeeded: $0 >> 8)] }
    }

    @Test(
        arguments: [
            (0, 1, 1), (0, 9, 64), (1, 2, 75), (5, 6, 6), (7, 8, 8), (8, 16, 9), (63, 64, 200),
            (64, 65, 200), (100, 130, 101), (511, 700, 1024), (900, 1000, 901),
        ])
    func `it is found by hashes alone`(common: UInt64, own: UInt64, remote: UInt64) throws {
        var peers = try SimulatedPeers(readers: 1)
        try peers.append(blocks(0..<common, of: 0) + blocks(common..<remote, of: 1))
        try peers.devices[0].log.clear(0..<remote - 1)
        peers.devices[1].log.want(only: [remote - 1])
        let link = try peers.connect(0, 1)
        try peers.settle()
        #expect(peers.devices[1].log.length == remote)

        let log = try Log.create(
            storage: MemoryLogStorage(), slot: .init(rawValue: 2), keyPair: SimulatedPeers.pair)
        try log.append(blocks(0..<common, of: 0) + blocks(common..<own, of: 2))
        var next: UInt64? = min(own, remote)
        var looks = 0
        var known: LogAgreement?
        while let length = next {
            looks += 1
            try #require(looks < 24)
            try peers.askPrefix(length, on: link)
            try peers.settle()
            let prefix = try #require(peers.prefixes.last)
            #expect(peers.prefixes.count == looks && prefix.length == length)
            let agreement = try log.agreement(with: prefix, after: known)
            #expect(agreement.common <= common)
            (next, known) = (agreement.next, agreement)
        }
        #expect(known?.common == common)
        #expect(peers.violations.isEmpty && peers.conflicts == 0)
    }

    private func log(_ common: UInt64, _ length: UInt64, of history: UInt8) throws -> Log {
        let log = try Log.create(
            storage: MemoryLogStorage(), slot: .init(rawValue: 2), keyPair: SimulatedPeers.pair)
        try log.append(blocks(0..<common, of: 0) + blocks(common..<length, of: history))
        return log
    }

    private func evidence(of log: Log) throws -> [UInt8] {
        let request = RequestMessage(id: 0, fork: 0, upgrade: .init(start: 0, length: log.length))
        return DataMessage(request: 0, proof: try log.proof(for: request)).encoded()
    }

    @Test(
        arguments: [
            (10, 12, 11, 10, 1), (10, 12, 12, 8, 4), (0, 3, 2, 0, 2), (9, 9, 9, nil, 0),
            (9, 12, 9, nil, 0), (3, 4, 5, nil, 0),
        ] as [(UInt64, UInt64, UInt64, UInt64?, UInt64)])
    func `a proof that was kept shows where they part`(
        common: UInt64, own: UInt64, other: UInt64, agreed: UInt64?, doubtful: UInt64
    ) throws {
        let log = try log(common, own, of: 1)
        let difference = try log.difference(from: try evidence(of: self.log(common, other, of: 2)))
        #expect(difference == agreed.map { LogAgreement(common: $0, doubtful: doubtful) })
        #expect(try log.difference(from: []) == nil)
        var broken = try evidence(of: self.log(common, other, of: 2))
        broken[broken.count / 2] ^= 1
        #expect(try log.difference(from: broken) == nil)
    }

    @Test func `who agrees where a difference is known has the same history as this one`() {
        let difference = LogAgreement(common: 8, doubtful: 4)
        func limited(_ common: UInt64, _ doubtful: UInt64) -> LogAgreement {
            LogAgreement(common: common, doubtful: doubtful).limited(by: difference)
        }
        #expect(limited(12, 0) == difference)
        #expect(limited(20, 9) == difference)
        #expect(limited(10, 0) == LogAgreement(common: 10, doubtful: 2))
        #expect(limited(10, 1) == LogAgreement(common: 10, doubtful: 1))
        #expect(limited(4, 20) == LogAgreement(common: 4, doubtful: 8))
        #expect(!LogAgreement(common: 11, doubtful: 0).contradicts(difference))
        #expect(LogAgreement(common: 12, doubtful: 0).contradicts(difference))
    }

    @Test func `a prefix that the writer did not sign ends the connection`() throws {
        var peers = try SimulatedPeers(readers: 1)
        try peers.append(blocks(0..<20, of: 1))
        let link = try peers.connect(0, 1)
        try peers.settle()
        try peers.askPrefix(12, on: link)
        let request = RequestMessage(id: 0, fork: 0, upgrade: .init(start: 0, length: 12))
        var proof = try peers.devices[0].log.proof(for: request)
        proof.upgrade?.nodes[0].size += 1
        let data = DataMessage(request: 0, proof: proof)
        try peers.inject(MessageType.data.rawValue, data.encoded(), link: link, to: 1)
        #expect(peers.prefixes.isEmpty)
        #expect(peers.violations.count == 1)
    }

    /// Forty blocks, of which a reader has the last one alone.
    private func withTail(readers: Int) throws -> SimulatedPeers {
        var peers = try SimulatedPeers(readers: readers)
        try peers.append(blocks(0..<40, of: 1))
        peers.devices[1].log.want(only: [39])
        let link = try peers.connect(0, 1)
        try peers.settle()
        try peers.cut(link)
        return peers
    }

    @Test func `who copied only the end of a log says that it knows nothing of its middle`() throws
    {
        var peers = try withTail(readers: 2)
        let link = try peers.connect(1, 2)
        try peers.settle()
        for length in [32, 16, 36, 20] as [UInt64] {
            try peers.askPrefix(length, on: link)
            try peers.settle()
        }
        #expect(peers.prefixes.map(\.length) == [32, 36])
        #expect(peers.unknownPrefixes == [16, 20])
        #expect(peers.violations.isEmpty)
    }

    @Test(
        arguments: [
            (20, 20, 0), (35, 35, 32), (33, 35, 32), (10, 35, 0), (0, 1, 0),
        ])
    func `a restored writer learns of the end of its log where its middle is not`(
        common: UInt64, own: UInt64, least: UInt64
    ) throws {
        var peers = try withTail(readers: 2)
        try peers.restart(2, keyPair: SimulatedPeers.pair)
        try peers.append(blocks(0..<common, of: 1) + blocks(common..<own, of: 2), on: 2)
        _ = try peers.connect(1, 2)
        for second in [0, 5, 9] as [UInt64] {
            try peers.settle()
            try peers.tick(Instant(nanoseconds: second * 1_000_000_000))
        }
        #expect(peers.unfollowed.isEmpty && peers.devices[2].log.length == own)
        for second in [10, 15, 60] as [UInt64] {
            try peers.tick(Instant(nanoseconds: second * 1_000_000_000))
            try peers.settle()
        }
        #expect(peers.unfollowed == [least])
        #expect(peers.violations.isEmpty && peers.conflicts == 0)
    }

    @Test func `a restored writer takes the middle of its log from whoever has it`() throws {
        var peers = try withTail(readers: 2)
        try peers.restart(2, keyPair: SimulatedPeers.pair)
        try peers.append(blocks(0..<20, of: 1), on: 2)
        _ = try peers.connect(1, 2)
        try peers.settle()
        try peers.tick(Instant(nanoseconds: 0))
        _ = try peers.connect(0, 2)
        for second in [9, 20, 40] as [UInt64] {
            try peers.settle()
            try peers.tick(Instant(nanoseconds: second * 1_000_000_000))
        }
        #expect(peers.unfollowed.isEmpty && peers.devices[2].log.contiguousLength == 40)
    }
}
