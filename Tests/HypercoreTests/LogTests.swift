import Base
import Crypto
import Testing

@testable import Hypercore

struct LogTests {
    private let pair = KeyPair(seed: Bytes32(repeating: 5))

    private func log(
        _ storage: MemoryLogStorage = MemoryLogStorage(), manifest: Manifest
    ) throws -> Log {
        try Log(
            storage: storage, slot: .init(rawValue: 1), key: manifest.hash, manifest: manifest,
            keyPair: pair)
    }

    @Test func `an append is one change of few rows`() throws {
        let storage = MemoryLogStorage()
        let log = try Log.create(storage: storage, slot: .init(rawValue: 1), keyPair: pair)
        let before = storage.writeCount
        #expect(try log.append([[1], [2], [3]]) == 0..<3)
        #expect(try log.append([]) == 3..<3)
        #expect(storage.writeCount == before + 1)
        #expect(log.isWritable && log.length == 3 && log.byteLength == 3)
        #expect(try log.block(at: 2) == [3])
        #expect(try log.block(at: 3) == nil)
    }

    @Test func `a failed append leaves the log as it was`() throws {
        let storage = MemoryLogStorage()
        let log = try Log.create(storage: storage, slot: .init(rawValue: 1), keyPair: pair)
        try log.append([[1]])
        let (hash, signature) = (log.treeHash, log.signature)
        storage.failure = .full
        #expect(throws: StorageError.full) { try log.append([[2]]) }
        #expect(throws: StorageError.full) { try log.truncate(to: 0) }
        #expect(throws: StorageError.full) { try log.clear(0..<1) }
        storage.failure = nil
        #expect(log.length == 1 && log.treeHash == hash && log.signature == signature)
        #expect(log.contiguousLength == 1 && log.fork == 0)
        try log.append([[2]])
        #expect(try log.block(at: 1) == [2])
    }

    @Test func `a log is found again as it was left`() throws {
        let storage = MemoryLogStorage()
        let log = try Log.create(storage: storage, slot: .init(rawValue: 1), keyPair: pair)
        for number in 0..<37 { try log.append([[UInt8(number)]]) }
        try log.clear(3..<5)
        let again = try Log.create(storage: storage, slot: .init(rawValue: 1), keyPair: pair)
        #expect(again.length == 37 && again.treeHash == log.treeHash)
        #expect(again.held == BlockSet([0..<3, 5..<37]) && again.contiguousLength == 3)
        #expect(try again.block(at: 4) == nil)
        #expect(try again.append([[9]]) == 37..<38)
    }

    @Test func `the header may lag behind fetched blocks`() throws {
        let writer = try Log.create(
            storage: MemoryLogStorage(), slot: .init(rawValue: 1), keyPair: pair)
        try writer.append((0..<50).map { [UInt8($0)] })
        let storage = MemoryLogStorage()
        let reader = try Log(
            storage: storage, slot: .init(rawValue: 1), key: writer.key,
            manifest: writer.manifest)
        try reader.store(
            reader.verify(
                writer.proof(
                    for: RequestMessage(id: 1, fork: 0, upgrade: .init(start: 0, length: 50)))))
        for index in 0..<50 as Range<UInt64> where index != 30 {
            var steps: UInt64 = 0
            var node = 2 * index
            while try reader.node(at: node) == nil {
                node = FlatTree.parent(node)
                steps += 1
            }
            let request = RequestMessage(
                id: 1, fork: 0, block: .init(index: index, nodes: steps))
            try reader.store(reader.verify(writer.proof(for: request)))
        }
        #expect(reader.contiguousLength == 30)
        #expect(try storage.header(.init(rawValue: 1))?.contiguousLength == 0)
        let again = try Log(storage: storage, slot: .init(rawValue: 1), key: writer.key)
        #expect(again.held == BlockSet([0..<30, 31..<50]) && again.contiguousLength == 30)
    }

    @Test(arguments: 1..<34 as Range<UInt64>)
    func `a truncated log grows like one that was never longer`(length: UInt64) throws {
        for kept in 0..<length {
            let storage = MemoryLogStorage()
            let log = try Log.create(storage: storage, slot: .init(rawValue: 1), keyPair: pair)
            try log.append((0..<length).map { [UInt8($0)] })
            try log.truncate(to: kept)
            #expect(log.length == kept && log.fork == 1)
            // Nodes over the cut must be gone: they would be trusted again once the log has grown.
            for node in 0..<(4 * length) where FlatTree.lengthSpanned(node) > kept {
                #expect(try storage.node(.init(rawValue: 1), at: node) == nil)
            }
            try log.append((0..<length).map { [UInt8($0), 1] })
            let fresh = try Log.create(
                storage: MemoryLogStorage(), slot: .init(rawValue: 1), keyPair: pair)
            try fresh.append((0..<kept).map { [UInt8($0)] })
            try fresh.append((0..<length).map { [UInt8($0), 1] })
            #expect(log.treeHash == fresh.treeHash)
        }
    }

    @Test func `damaged storage is said to be damaged`() throws {
        let storage = MemoryLogStorage()
        let slot = WriterSlot(rawValue: 1)
        let log = try Log.create(storage: storage, slot: slot, keyPair: pair)
        try log.append([[1], [2], [3]])
        let good = try #require(try storage.header(slot))
        #expect(throws: StorageError.self) {
            try Log(storage: storage, slot: slot, key: Bytes32(repeating: 1))
        }
        for damage: (inout LogHeader) -> Void in [
            { $0.length = 4 }, { $0.length = 1 << 60 }, { $0.byteLength = 2 },
            { $0.contiguousLength = 4 }, { $0.manifest = [9] }, { $0.fork = .max },
            { $0.manifest = Manifest(publicKey: .zero).encoded },
            { $0.signature = [UInt8](repeating: 0, count: 1 << 20) },
        ] {
            var header = good
            damage(&header)
            try storage.write(LogChange(header: header), to: slot)
            #expect(throws: StorageError.self) {
                try Log(storage: storage, slot: slot, key: log.key)
            }
        }
        var change = LogChange(header: good)
        change.nodes = [TreeNode(index: 0, size: .max, hash: .zero)]
        change.cleared = 1..<2
        try storage.write(change, to: slot)
        let reopened = try Log(storage: storage, slot: slot, key: log.key)
        #expect(throws: StorageError.self) { try reopened.node(at: 0) }
        // The object that was open all the time misses its block.
        #expect(throws: StorageError.self) { try log.block(at: 1) }
    }

    @Test func `an encrypted log is read back and too short a block is empty`() throws {
        let storage = MemoryLogStorage()
        let encryptionKey = Bytes32(repeating: 8)
        let log = try Log.create(
            storage: storage, slot: .init(rawValue: 1), keyPair: pair,
            encryptionKey: encryptionKey)
        try log.append([[], [1], [UInt8](repeating: 2, count: 1000)])
        #expect(try log.block(at: 0) == [])
        #expect(try log.block(at: 2) == [UInt8](repeating: 2, count: 1000))
        #expect(log.byteLength == 1001 + 3 * 8)
        let keeper = try Log(storage: storage, slot: .init(rawValue: 1), key: log.key)
        #expect(try keeper.block(at: 1) != [1])
        let plain = try Log.create(storage: storage, slot: .init(rawValue: 2), keyPair: pair)
        try plain.append([[1, 2, 3]])
        let reader = try Log(
            storage: storage, slot: .init(rawValue: 2), key: plain.key,
            cipher: BlockCipher(encryptionKey: encryptionKey, logKey: plain.key))
        #expect(try reader.block(at: 0) == [])
    }

    // MARK: Signing rules

    @Test func `a signature of version 0 is plain for one signer and wrapped for one of two`()
        throws
    {
        let signer = Manifest.Signer(namespace: Bytes32(repeating: 1), publicKey: pair.publicKey)
        let other = Manifest.Signer(namespace: Bytes32(repeating: 2), publicKey: .zero)
        let single = try log(manifest: Manifest(version: 0, quorum: 1, signers: [signer]))
        try single.append([[1]])
        #expect(single.signature.count == 64)
        let wrapped = try log(manifest: Manifest(version: 0, quorum: 1, signers: [other, signer]))
        try wrapped.append([[1]])
        #expect(wrapped.signature.prefix(3) == [1, 0, 1])
        for log in [single, wrapped] {
            #expect(log.rules?.accepts(log.signature, of: log.tree, fork: 0) == true)
            #expect(log.rules?.accepts(log.signature, of: log.tree, fork: 1) == false)
        }
    }

    @Test func `as many signers as the quorum says must sign, each once`() throws {
        let pairs = (1...3).map { KeyPair(seed: Bytes32(repeating: $0)) }
        let manifest = Manifest(
            version: 1, quorum: 2,
            signers: pairs.map { .init(namespace: .zero, publicKey: $0.publicKey) })
        let rules = try #require(SigningRules(key: manifest.hash, manifest: manifest))
        var tree = GrowingTree()
        _ = tree.append(TreeHash.leaf(block: 0, bytes: [1]))
        #expect(rules.soleSigner(pairs[0].publicKey) == nil)
        func part(_ signer: Int) -> MultiSignature.Part {
            let message = rules.signable(
                treeHash: tree.hash, length: 1, fork: 0, signer: signer)
            return .init(signer: UInt64(signer), signature: pairs[signer].sign(message))
        }
        func accepts(_ parts: [MultiSignature.Part]) -> Bool {
            rules.accepts(MultiSignature(parts: parts).encoded(), of: tree, fork: 0)
        }
        #expect(accepts([part(0), part(2)]))
        #expect(accepts([part(2), part(1)]))
        #expect(!accepts([part(0)]))
        #expect(!accepts([part(0), part(0)]))
        #expect(!accepts([]))
        var wrong = part(1)
        wrong.signer = 0
        #expect(!accepts([part(2), wrong]))
        wrong.signer = 3
        #expect(!accepts([part(2), wrong]))
        wrong = part(1)
        wrong.patch = 1
        #expect(!accepts([part(2), wrong]))
    }

    @Test(arguments: 1..<12 as Range<UInt64>)
    func `a signature over a longer log counts with its patch`(length: UInt64) throws {
        let manifest = Manifest(
            version: 1, allowsPatch: true, quorum: 1,
            signers: [.init(namespace: .zero, publicKey: pair.publicKey)])
        let rules = try #require(SigningRules(key: manifest.hash, manifest: manifest))
        for longer in length + 1..<length + 9 {
            let log = try log(manifest: manifest)
            try log.append((0..<longer).map { [UInt8($0)] })
            let proof = try log.proof(
                for: RequestMessage(
                    id: 1, fork: 0, upgrade: .init(start: length, length: longer - length)))
            var multi = try MultiSignature(decoding: log.signature.span)
            multi.parts[0].patch = longer - length
            multi.patchNodes = proof.upgrade?.nodes ?? []
            var tree = GrowingTree()
            for root in FlatTree.fullRoots(length: length) {
                let node = try #require(try log.node(at: root))
                _ = tree.append(node)
            }
            #expect(rules.accepts(multi.encoded(), of: tree, fork: 0))
            multi.parts[0].patch += 1
            #expect(!rules.accepts(multi.encoded(), of: tree, fork: 0))
            multi.parts[0].patch = (1 << 53) - 1
            #expect(!rules.accepts(multi.encoded(), of: tree, fork: 0))
        }
    }

    @Test func `a prologue needs no signature and cannot be split`() throws {
        let source = try log(manifest: Manifest(publicKey: pair.publicKey))
        try source.append((0..<5).map { [UInt8($0)] })
        let manifest = Manifest(
            version: 1, quorum: 0, signers: [],
            prologue: .init(hash: source.treeHash, length: 5))
        let reader = try log(manifest: manifest)
        var proof = try source.proof(
            for: RequestMessage(
                id: 1, fork: 0, block: .init(index: 4, nodes: 0),
                upgrade: .init(start: 0, length: 5)))
        proof.upgrade?.signature = []
        var short = try source.proof(
            for: RequestMessage(id: 1, fork: 0, upgrade: .init(start: 0, length: 4)))
        #expect(throws: ProofError.malformed("an upgrade into the prologue")) {
            try reader.verify(short)
        }
        short.upgrade?.length = 5
        #expect(throws: ProofError.self) { try reader.verify(short) }
        try reader.store(reader.verify(proof))
        #expect(reader.length == 5 && reader.hasBlock(at: 4))
        // Whoever asks for less gets all of it.
        let answer = try reader.proof(
            for: RequestMessage(id: 1, fork: 0, upgrade: .init(start: 2, length: 1)))
        #expect(answer.upgrade?.start == 0 && answer.upgrade?.length == 5)
    }

    @Test func `manifests beyond the limits are refused`() {
        for bytes: [UInt8] in [
            [], [3, 0, 0, 0, 0], [1, 0, 1, 0, 0], [1, 0, 0, 1, 0], [1, 0, 0, 0, 65],
            [0, 0, 3], [0, 1, 0], [1, 2, 0, 0, 0, 1], [2, 8, 0, 0, 0, 0xfd, 0x01, 0x10],
            [2, 4, 0, 0, 0, 0xfd, 0x01, 0x01],
        ] {
            #expect(throws: (any Error).self) { try Manifest(decoding: bytes) }
        }
    }

    // MARK: Every proof of small logs

    @Test func `every block of every small log is proved to every shorter reader`() throws {
        for length in 1..<20 as Range<UInt64> {
            let log = try log(manifest: Manifest(publicKey: pair.publicKey))
            try log.append((0..<length).map { [UInt8]("\($0)".utf8) })
            for start in 0..<length {
                for to in start + 1...length {
                    for block in start..<to {
                        let reader = try self.reader(of: log, length: start)
                        let request = RequestMessage(
                            id: 1, fork: 0, block: .init(index: block, nodes: 0),
                            upgrade: .init(start: start, length: to - start))
                        try reader.store(reader.verify(log.proof(for: request)))
                        #expect(reader.treeHash == log.treeHash)
                        #expect(try reader.block(at: block) == log.block(at: block))
                    }
                }
            }
        }
    }

    private func reader(of log: Log, length: UInt64) throws -> Log {
        let reader = try Log(
            storage: MemoryLogStorage(), slot: .init(rawValue: 1), key: log.key,
            manifest: log.manifest)
        guard length > 0 else { return reader }
        let earlier = try self.log(manifest: Manifest(publicKey: pair.publicKey))
        try earlier.append((0..<length).map { [UInt8]("\($0)".utf8) })
        let upgrade = RequestMessage(id: 1, fork: 0, upgrade: .init(start: 0, length: length))
        try reader.store(reader.verify(earlier.proof(for: upgrade)))
        return reader
    }

    @Test func `a seek leads to the block that holds the byte`() throws {
        let log = try log(manifest: Manifest(publicKey: pair.publicKey))
        try log.append((1...11).map { [UInt8](repeating: 1, count: $0) })
        var offset: UInt64 = 0
        for block in 0..<11 as Range<UInt64> {
            let reader = try reader(of: log, length: 0)
            let request = RequestMessage(
                id: 1, fork: 0, seek: .init(bytes: offset, padding: 0),
                upgrade: .init(start: 0, length: 11))
            let proof = try log.proof(for: request)
            // At a border between subtrees the whole right one is the answer; between roots, the
            // left one, since the sizes of all roots are known with the upgrade.
            let first = try #require(proof.seek?.nodes.first ?? proof.upgrade?.nodes.first)
            #expect(
                FlatTree.leftSpan(first.index) == 2 * block
                    || [8, 10].contains(block) && FlatTree.lengthSpanned(first.index) == block)
            try reader.store(reader.verify(proof))
            #expect(reader.length == 11)
            offset += block + 1
        }
    }
}
