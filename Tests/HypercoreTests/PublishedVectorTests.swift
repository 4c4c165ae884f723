import Base
import Crypto
import Testing
import Wire

@testable import Hypercore

/// The published values of hypercore 11.35: the same inputs give the same bytes, and the bytes are
/// understood. A case that no test knows fails.
struct PublishedVectorTests {
    static let names = hypercoreVectors.map { $0["name"].text }

    static func vector(_ name: String) -> JSON {
        hypercoreVectors.first { $0["name"].text == name } ?? .null
    }

    @Test func `all vectors are there`() { #expect(Self.names.count == 114) }

    @Test(arguments: names)
    func `the vector is reproduced`(name: String) throws {
        let vector = Self.vector(name)
        switch true {
        case name.hasPrefix("namespace "): checkNamespace(vector, name)
        case name.hasPrefix("manifest: "): try checkManifest(vector)
        case name == "default manifest of a new core": try checkDefaultManifest(vector)
        case name == "compat core": checkCompatSignature(vector)
        case name.hasPrefix("tree signable"): checkSignable(vector)
        case name.hasPrefix("replicate capability"): checkCapability(vector)
        case name.hasPrefix("multisig"): try checkMultiSignature(vector)
        case name.hasPrefix("wire "): try checkWire(vector, name)
        case name == "flat tree full roots": checkFullRoots(vector)
        case name == "encryption keys": checkEncryptionKeys(vector)
        case name.hasPrefix("block encryption"): checkBlockEncryption(vector)
        case name == "encrypted core of 2 blocks": try checkEncryptedLog(vector)
        case name == "compat core of 1 block": try checkCompatLog(vector)
        case name.contains("truncated to 4"): try checkTruncatedLog(vector)
        case name.contains(", proof: "): try checkProof(vector, name)
        case name.hasPrefix("core of "): try checkLog(vector)
        case name.hasPrefix("replication: "): try CapturedExchange(vector).check()
        default: Issue.record("no test for this vector")
        }
    }

    // MARK: Constants, manifests, signatures

    private func checkNamespace(_ vector: JSON, _ name: String) {
        let value =
            switch name {
            case "namespace TREE": LogNamespace.tree
            case "namespace REPLICATE_INITIATOR": LogNamespace.replicateInitiator
            case "namespace REPLICATE_RESPONDER": LogNamespace.replicateResponder
            case "namespace MANIFEST": LogNamespace.manifest
            case "namespace DEFAULT_NAMESPACE": LogNamespace.defaultSigner
            default: LogNamespace.defaultEncryption
            }
        #expect(value == vector["out"]["namespace"].bytes32)
    }

    private func checkManifest(_ vector: JSON) throws {
        let manifest = vector["in"].manifest
        #expect(manifest.encoded.hex == vector["out"]["encoded"].text)
        #expect(try Manifest(decoding: vector["out"]["encoded"].bytes) == manifest)
        #expect(Log.key(forManifest: manifest) == vector["out"]["manifestHash"].bytes32)
        let log = try Log(
            storage: MemoryLogStorage(), slot: .init(rawValue: 1), key: manifest.hash,
            manifest: manifest)
        #expect(log.discoveryKey == vector["out"]["discoveryKey"].bytes32)
    }

    private func checkDefaultManifest(_ vector: JSON) throws {
        let manifest = Manifest(publicKey: vector["in"]["publicKey"].bytes32)
        #expect(manifest.version == vector["out"]["version"].number)
        let published = Self.vector(
            "manifest: version 1, one signer (what a new core gets by default)")
        #expect(manifest == published["in"].manifest)
    }

    private func checkCompatSignature(_ vector: JSON) {
        let pair = KeyPair(seed: Bytes32(repeating: 1))
        #expect(pair.publicKey == vector["in"]["publicKey"].bytes32)
        let rules = SigningRules(key: pair.publicKey, manifest: nil)
        let signable = rules?.signable(
            treeHash: vector["in"]["treeHash"].bytes32, length: vector["in"]["length"].number,
            fork: vector["in"]["fork"].number, signer: 0)
        #expect(signable?.hex == vector["out"]["signable"].text)
        #expect(pair.sign(signable ?? []).hex == vector["out"]["signature"].text)
    }

    private func checkSignable(_ vector: JSON) {
        // The key in the vector is made up: no manifest has it. Only its bytes matter.
        let signable = Self.signable(
            key: vector["in"]["manifestHash"].bytes32, vector["in"]["treeHash"].bytes32,
            vector["in"]["length"].number, vector["in"]["fork"].number)
        #expect(signable.hex == vector["out"]["signable"].text)
        // The same layout is what the rules make for a real key.
        let manifest = Manifest(publicKey: Bytes32(repeating: 3))
        let rules = SigningRules(key: manifest.hash, manifest: manifest)
        #expect(
            rules?.signable(
                treeHash: vector["in"]["treeHash"].bytes32,
                length: vector["in"]["length"].number, fork: vector["in"]["fork"].number,
                signer: 0)
                == Self.signable(
                    key: manifest.hash, vector["in"]["treeHash"].bytes32,
                    vector["in"]["length"].number, vector["in"]["fork"].number))
    }

    private static func signable(
        key: Bytes32, _ hash: Bytes32, _ length: UInt64, _ fork: UInt64
    ) -> [UInt8] {
        var writer = WireWriter()
        writer.writeBytes32(LogNamespace.tree)
        writer.writeBytes32(key)
        writer.writeBytes32(hash)
        writer.writeUInt64(length)
        writer.writeUInt64(fork)
        return writer.bytes
    }

    private func checkCapability(_ vector: JSON) {
        let capability = LogReplication.capability(
            key: vector["in"]["key"].bytes32, handshakeHash: vector["in"]["handshakeHash"].bytes,
            senderIsInitiator: vector["in"]["isInitiator"].flag)
        #expect(capability == vector["out"]["capability"].bytes32)
    }

    private func checkMultiSignature(_ vector: JSON) throws {
        let signature: MultiSignature
        if vector["in"]["inputs"].isNull {
            signature = MultiSignature(
                parts: [.init(signer: 0, signature: vector["in"]["signature"].bytes)])
        } else {
            let inputs = vector["in"]["inputs"].list
            signature = MultiSignature(
                parts: inputs.map {
                    .init(
                        signer: $0["signer"].number, signature: $0["signature"].bytes,
                        patch: $0["patch"].number)
                },
                patchNodes: inputs.flatMap { $0["nodes"].nodes })
        }
        #expect(signature.encoded().hex == vector["out"]["bytes"].text)
        #expect(try MultiSignature(decoding: vector["out"]["bytes"].bytes.span) == signature)
    }

    // MARK: Messages

    private func checkWire(_ vector: JSON, _ name: String) throws {
        let value = vector["in"]
        switch name.dropFirst("wire ".count).prefix(while: { $0 != ":" }) {
        case "handshake":
            let handshake = ChannelHandshake(
                seeks: value["seeks"].flag, capability: value["capability"].bytes32)
            try checkMessage(handshake, vector)
        case "sync": try checkMessage(value.sync, vector, .sync)
        case "request": try checkMessage(value.request(), vector, .request)
        case "cancel":
            try checkMessage(CancelMessage(request: value["request"].number), vector, .cancel)
        case "data": try checkMessage(value.data, vector, .data)
        case "noData": try checkMessage(value.noData, vector, .noData)
        case "want": try checkMessage(value.want, vector, .want)
        case "unwant": try checkMessage(value.want, vector, .unwant)
        case "bitfield": try checkMessage(value.bitfield, vector, .bitfield)
        case "range": try checkMessage(value.range, vector, .range)
        case "extension": try checkMessage(value.extensionMessage, vector, .extension)
        case "reorgHint":
            // Not a message of the channel: only its three numbers are checked.
            var writer = WireWriter()
            for field in ["from", "to", "ancestors"] { writer.writeUInt(value[field].number) }
            #expect(writer.bytes.hex == vector["bytes"].text)
        case let kind: Issue.record("no test for \(kind)")
        }
    }

    private func checkMessage(
        _ message: some Message, _ vector: JSON, _ type: MessageType? = nil
    ) throws {
        if let type { #expect(UInt64(type.rawValue) == vector["type"].number) }
        #expect(vector["in"] == vector["decoded"])
        try checkCoding(message, vector["bytes"].bytes)
    }

    private func checkFullRoots(_ vector: JSON) {
        guard case .object(let lists) = vector["out"] else { return #expect(Bool(false)) }
        for (length, roots) in lists {
            #expect(
                FlatTree.fullRoots(length: UInt64(length) ?? 0) == roots.list.map(\.number))
        }
    }

    // MARK: Encryption

    private func checkEncryptionKeys(_ vector: JSON) {
        let encryptionKey = vector["in"]["encryptionKey"].bytes32
        let logKey = vector["in"]["hypercoreKey"].bytes32
        for (name, cipher) in [
            ("normal", BlockCipher(encryptionKey: encryptionKey, logKey: logKey)),
            ("compat", BlockCipher(encryptionKey: encryptionKey, logKey: logKey, isCompat: true)),
            ("block", BlockCipher(blockKey: encryptionKey)),
        ] {
            #expect(cipher.blockKey == vector["out"][name]["block"].bytes32)
            #expect(cipher.blindingKey == vector["out"][name]["blinding"].bytes32)
        }
    }

    private func checkBlockEncryption(_ vector: JSON) {
        let cipher = BlockCipher(blockKey: vector["in"]["blockKey"].bytes32)
        #expect(cipher.blindingKey == vector["in"]["blindingKey"].bytes32)
        let plain = vector["in"]["plain"].bytes
        let index = vector["in"]["index"].number
        let stored = cipher.seal(plain, index: index, fork: vector["in"]["fork"].number)
        #expect(stored.hex == vector["out"]["stored"].text)
        #expect(cipher.open(stored, index: index) == plain)
    }

    // MARK: Logs

    private func checkLog(_ vector: JSON) throws {
        let (input, output) = (vector["in"], vector["out"])
        let pair = KeyPair(seed: input["seed"].bytes32)
        let log = try writer(blocks: input["blocks"].list.map(\.bytes))
        #expect(log.fork == input["fork"].number)
        #expect(log.key == output["key"].bytes32)
        #expect(log.discoveryKey == output["discoveryKey"].bytes32)
        #expect(log.manifest?.encoded == output["manifest"].bytes)
        #expect(log.byteLength == output["byteLength"].number)
        for node in output["nodes"].nodes { #expect(try log.node(at: node.index) == node) }
        #expect(log.tree.roots == output["roots"].nodes)
        #expect(log.treeHash == output["treeHash"].bytes32)
        let signable = log.rules?.signable(
            treeHash: log.treeHash, length: log.length, fork: log.fork, signer: 0)
        #expect(signable == output["signable"].bytes)
        #expect(pair.sign(signable ?? []) == output["rawSignature"].bytes)
        #expect(log.signature == output["signature"].bytes)
        #expect(log.rules?.accepts(log.signature, of: log.tree, fork: log.fork) == true)
    }

    private func checkTruncatedLog(_ vector: JSON) throws {
        let storage = MemoryLogStorage()
        let log = try writer(
            blocks: Self.vector("core of 7 blocks")["in"]["blocks"].list.map(\.bytes),
            storage: storage)
        try log.truncate(to: 4)
        #expect(log.length == 4 && log.contiguousLength == 4)
        try log.append([vector["in"]["appended"].bytes])
        #expect(log.fork == vector["out"]["fork"].number)
        #expect(log.length == vector["out"]["length"].number)
        #expect(log.treeHash == vector["out"]["treeHash"].bytes32)
        #expect(
            log.rules?.signable(
                treeHash: log.treeHash, length: log.length, fork: log.fork, signer: 0)
                == vector["out"]["signable"].bytes)
        #expect(log.signature == vector["out"]["signature"].bytes)
        let reopened = try Log(storage: storage, slot: log.slot, key: log.key)
        #expect(reopened.treeHash == log.treeHash && reopened.contiguousLength == 5)
    }

    private func checkEncryptedLog(_ vector: JSON) throws {
        let plain = vector["in"]["blocks"].list.map(\.bytes)
        let log = try Log.create(
            storage: MemoryLogStorage(), slot: .init(rawValue: 1),
            keyPair: KeyPair(seed: vector["in"]["seed"].bytes32),
            encryptionKey: vector["in"]["encryptionKey"].bytes32)
        try log.append(plain)
        #expect(log.key == vector["out"]["key"].bytes32)
        for (index, stored) in vector["out"]["stored"].list.enumerated() {
            #expect(try log.storedBlock(at: UInt64(index)) == stored.bytes)
            #expect(try log.block(at: UInt64(index)) == plain[index])
        }
        #expect(log.treeHash == vector["out"]["treeHash"].bytes32)
        #expect(log.byteLength == vector["out"]["byteLengthInTree"].number)
        #expect(
            log.byteLength - log.length * UInt64(BlockCipher.paddingSize)
                == vector["out"]["byteLengthShown"].number)
        #expect(log.signature == vector["out"]["signature"].bytes)
    }

    private func checkCompatLog(_ vector: JSON) throws {
        let pair = KeyPair(seed: vector["in"]["seed"].bytes32)
        let log = try Log(
            storage: MemoryLogStorage(), slot: .init(rawValue: 1), key: pair.publicKey,
            manifest: Manifest(publicKey: pair.publicKey), keyPair: pair)
        try log.append(vector["in"]["blocks"].list.map(\.bytes))
        #expect(log.key == vector["out"]["key"].bytes32)
        #expect(log.manifest?.encoded == vector["out"]["manifest"].bytes)
        #expect(log.treeHash == vector["out"]["treeHash"].bytes32)
        #expect(log.signature == vector["out"]["signature"].bytes)
        // A reader that only knows the key takes the log to be an old one, and is right.
        let reader = try Log(
            storage: MemoryLogStorage(), slot: .init(rawValue: 2), key: pair.publicKey)
        let request = RequestMessage(id: 1, fork: 0, upgrade: .init(start: 0, length: 1))
        try reader.store(reader.verify(log.proof(for: request)))
        #expect(reader.treeHash == log.treeHash)
    }

    // MARK: Proofs

    private func checkProof(_ vector: JSON, _ name: String) throws {
        let core = Self.vector(String(name.prefix(while: { $0 != "," })))
        let blocks = core["in"]["blocks"].list.map(\.bytes)
        let log = try writer(blocks: blocks)
        let request = vector["request"].request(id: 1)
        let data = DataMessage(request: 1, proof: try log.proof(for: request))
        #expect(data.proof == vector["proof"].proof)
        try checkCoding(data, vector["bytes"].bytes)

        let reader = try reader(of: log, blocks: blocks, for: request)
        let verified = try reader.verify(DataMessage(decoding: vector["bytes"].bytes.span).proof)
        try reader.store(verified)
        if request.upgrade != nil {
            #expect(reader.treeHash == log.treeHash)
            #expect(reader.signature == log.signature)
        }
        if let block = request.block {
            #expect(try reader.block(at: block.index) == blocks[Int(block.index)])
        }
        for node in data.proof.hash?.nodes ?? [] {
            #expect(try reader.node(at: node.index) == node)
        }
    }

    /// A log as the asker of `request` has it: as long as the upgrade starts, and with the node at
    /// which the asked path ends.
    private func reader(
        of log: Log, blocks: [[UInt8]], for request: RequestMessage
    ) throws -> Log {
        let reader = try Log(
            storage: MemoryLogStorage(), slot: .init(rawValue: 2), key: log.key,
            manifest: log.manifest)
        let length = request.upgrade?.start ?? log.length
        guard length > 0 else { return reader }
        let earlier = try writer(blocks: [[UInt8]](blocks.prefix(Int(length))))
        let upgrade = RequestMessage(id: 1, fork: 0, upgrade: .init(start: 0, length: length))
        try reader.store(reader.verify(earlier.proof(for: upgrade)))
        var end = request.block.map { 2 * $0.index } ?? request.hash?.index ?? 0
        for _ in 0..<(request.block?.nodes ?? request.hash?.nodes ?? 0) {
            end = FlatTree.parent(end)
        }
        guard FlatTree.lengthSpanned(end) <= length, try reader.node(at: end) == nil else {
            return reader
        }
        var steps: UInt64 = 0
        var node = end
        while try reader.node(at: node) == nil {
            node = FlatTree.parent(node)
            steps += 1
        }
        let hash = RequestMessage(id: 2, fork: 0, hash: .init(index: end, nodes: steps))
        try reader.store(reader.verify(earlier.proof(for: hash)))
        return reader
    }
}

/// The log that the vectors are made with.
func writer(
    blocks: [[UInt8]], storage: MemoryLogStorage = MemoryLogStorage()
) throws -> Log {
    let log = try Log.create(
        storage: storage, slot: .init(rawValue: 1),
        keyPair: KeyPair(seed: Bytes32(repeating: 1)))
    try log.append(blocks)
    return log
}

/// Encodes to exactly `bytes`, and back.
func checkCoding<Value: Message>(
    _ message: Value, _ bytes: [UInt8], sourceLocation: SourceLocation = #_sourceLocation
) throws {
    #expect(message.encoded().hex == bytes.hex, sourceLocation: sourceLocation)
    #expect(try Value(decoding: bytes.span) == message, sourceLocation: sourceLocation)
}
