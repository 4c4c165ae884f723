package import Base
package import Crypto

/// One device's append-only, signed log: a Hypercore.
///
/// The same object serves its writer, its readers and every connection that replicates it; calls
/// come one at a time, under the owner's lock. State changes only after storage has taken the
/// change, so an error leaves the log as it was.
package final class Log {
    /// The greatest stored size of one block; an encrypted block is `BlockCipher.paddingSize` bytes
    /// longer than its plaintext.
    package static var blockSizeMax: Int { Limits.blockSizeMax }

    package let slot: WriterSlot
    package let key: Bytes32
    /// What names the log on the wire, since the key itself is never sent.
    package let discoveryKey: Bytes32

    let storage: any LogStorage
    private(set) var header: LogHeader
    /// The full roots of `length`.
    private(set) var tree: GrowingTree
    /// Who may sign; nil while the manifest is not known.
    private(set) var rules: SigningRules?
    /// The blocks whose bytes are stored.
    private(set) var held: BlockSet
    /// Counts changes of `held`.
    private(set) var heldGeneration = 0
    /// What the header in storage says; it may lag behind.
    private var storedContiguousLength: UInt64

    private let keyPair: KeyPair?
    private let cipher: BlockCipher?
    private var cache = NodeCache(limit: Limits.cachedNodesMax)

    /// Blocks below this are not fetched: they were cleared, or a checkpoint stands for them. Not
    /// stored; `clear` raises it when it clears from here on.
    package var fetchStart: UInt64 = 0

    /// Whether a signed length that nobody can show to go on from the one that is here may take its place: what is here
    /// from `fetchStart` on is then fetched anew. Where less is here than that, it may anyhow. Not stored.
    package var mayLeap = false

    /// The greatest length that the writer is known to have signed.
    package var signedLength: UInt64 { max(length, longer) }
    private var longer: UInt64 = 0

    /// Blocks from here on are not fetched: nobody is to have them. Not stored.
    package var fetchEnd: UInt64 = .max

    /// The only blocks that are fetched; nil for all. What is here already stays.
    private(set) var wanted: BlockSet?

    /// From here on only these blocks are fetched, besides the tree nodes that prove them: a sparse
    /// copy. Call `localChanged` on the log's replications afterwards. Not stored.
    package func want(only indexes: [UInt64]) {
        var set = BlockSet()
        for index in indexes where index < UInt64.max { set.insert(index) }
        wanted = set
    }

    /// From here on every block is fetched, from `fetchStart` on.
    package func wantAll() { wanted = nil }

    /// Blocks before `fetchStart` that are fetched all the same, and not here yet. Not stored.
    private(set) var sought = BlockSet()

    /// Names the blocks that are fetched even where those around them are not: others may ask for them. Call
    /// `localChanged` on the log's replications if that is news.
    ///
    /// - Returns: whether it is.
    package func seek(_ indexes: [UInt64]) -> Bool {
        var set = BlockSet()
        for index in indexes where index < fetchStart && !held.contains(index) { set.insert(index) }
        defer { sought = set }
        return set != sought && !set.isEmpty
    }

    /// The first block from `start` on that is to be fetched if it is missing.
    func firstWanted(from start: UInt64) -> UInt64? {
        let first = wanted.map { $0.firstPresent(from: start) } ?? start
        return first.flatMap { $0 < fetchEnd ? $0 : nil }
    }

    // Shared by the log's replications, so that no two fetch the same.

    /// Blocks asked of some peer and not yet answered.
    var requested = BlockSet()
    /// The replication that has asked for an upgrade.
    var upgradeOwner: Int?
    private var replicationCount = 0

    /// Opens the log kept under `slot`, or begins an empty one.
    ///
    /// - Parameters:
    ///   - key: the log's name.
    ///   - manifest: who may sign, if known; must belong to `key`.
    ///   - keyPair: the writer's, on the writer's own device.
    ///   - cipher: what blocks are encrypted with; nil for a log in plaintext or a device that only
    ///     keeps ciphertext.
    /// - Throws: `.corrupt` if what is stored is another log or not a log.
    package init(
        storage: any LogStorage, slot: WriterSlot, key: Bytes32, manifest: Manifest? = nil,
        keyPair: KeyPair? = nil, cipher: BlockCipher? = nil
    ) throws(StorageError) {
        self.storage = storage
        self.slot = slot
        self.key = key
        self.keyPair = keyPair
        self.cipher = cipher
        discoveryKey = Blake2b.hash256(key: key, Array("hypercore".utf8))
        precondition(manifest?.belongs(to: key) ?? true, "manifest of another log")
        let stored = try storage.header(slot)
        header = stored ?? LogHeader(key: key)
        guard header.key == key else {
            throw .corrupt(what: "log \(slot.rawValue) is not the log \(key)")
        }
        tree = try Self.loadTree(header, slot, storage)
        var knownManifest = manifest
        if !header.manifest.isEmpty {
            do { knownManifest = try Manifest(decoding: header.manifest) } catch {
                throw .corrupt(what: "manifest of log \(key)")
            }
        }
        if let knownManifest {
            guard let rules = SigningRules(key: key, manifest: knownManifest) else {
                throw .corrupt(what: "manifest of log \(key)")
            }
            self.rules = rules
        }
        held = BlockSet()
        storedContiguousLength = header.contiguousLength
        if header.length > 0 {
            held = BlockSet(try storage.storedRuns(slot, from: header.contiguousLength))
            held.insert(0..<header.contiguousLength)
            held.remove(header.length..<UInt64.max)
        }
        header.contiguousLength = held.contiguousLength
        let isNew = stored == nil
        if isNew || header.manifest.isEmpty && knownManifest != nil {
            header.manifest = knownManifest?.encoded ?? []
            try storage.write(LogChange(header: header), to: slot)
        }
    }

    /// Opens or begins the log of one writer, with the manifest that a new Hypercore gets.
    ///
    /// - Parameters:
    ///   - namespace: keeps apart the logs of one key pair; nil for Hypercore's default one.
    ///   - encryptionKey: encrypts the blocks; nil for plaintext.
    package static func create(
        storage: any LogStorage, slot: WriterSlot, keyPair: KeyPair, namespace: Bytes32? = nil,
        encryptionKey: Bytes32? = nil
    ) throws(StorageError) -> Log {
        let manifest = Manifest(publicKey: keyPair.publicKey, namespace: namespace)
        let key = manifest.hash
        return try Log(
            storage: storage, slot: slot, key: key, manifest: manifest, keyPair: keyPair,
            cipher: encryptionKey.map { BlockCipher(encryptionKey: $0, logKey: key) })
    }

    /// The key of the log that `manifest` founds.
    package static func key(forManifest manifest: Manifest) -> Bytes32 { manifest.hash }

    // MARK: What it holds

    /// Blocks under the signature, whether their bytes are here or not.
    package var length: UInt64 { header.length }
    /// Stored bytes of all of them.
    package var byteLength: UInt64 { header.byteLength }
    /// Grows with each truncation.
    package var fork: UInt64 { header.fork }
    /// Every block below this is stored.
    package var contiguousLength: UInt64 { header.contiguousLength }
    /// The signature over the whole tree in its wire form.
    package var signature: [UInt8] { header.signature }
    /// nil while it is not known.
    package var manifest: Manifest? { rules?.manifest }
    /// The hash over the full roots: equal hashes, equal logs.
    package var treeHash: Bytes32 { tree.hash }

    /// Whether `append` may be called.
    package var isWritable: Bool { soleSigner != nil }

    package func hasBlock(at index: UInt64) -> Bool { held.contains(index) }

    /// The plaintext of a block.
    ///
    /// - Returns: nil if it is not here. Empty if the log is encrypted and the block is too short to
    ///   be: only its writer can have made it so.
    package func block(at index: UInt64) throws(StorageError) -> [UInt8]? {
        guard let stored = try storedBlock(at: index) else { return nil }
        guard let cipher else { return stored }
        return cipher.open(stored, index: index) ?? []
    }

    /// The bytes of a block as they are hashed, stored and sent.
    package func storedBlock(at index: UInt64) throws(StorageError) -> [UInt8]? {
        guard held.contains(index) else { return nil }
        guard let bytes = try storage.block(slot, at: index) else {
            throw .corrupt(what: "block \(index) of log \(key) is missing")
        }
        return bytes
    }

    /// A trusted node of the tree; nil if it is not here or not wholly inside the log.
    func node(at index: UInt64) throws(StorageError) -> TreeNode? {
        guard FlatTree.lengthSpanned(index) <= length else { return nil }
        if let node = cache[index] { return node }
        guard let node = try storage.node(slot, at: index) else { return nil }
        guard node.index == index, node.size <= Limits.byteLengthMax else {
            throw .corrupt(what: "tree node \(index) of log \(key)")
        }
        cache.insert(node)
        return node
    }

    // MARK: Writing

    /// Appends blocks and signs the log that they make.
    ///
    /// - Parameter blocks: plaintext; each at most `blockSizeMax` bytes once encrypted.
    /// - Returns: their indexes.
    /// - Precondition: `isWritable`.
    @discardableResult
    package func append(_ blocks: [[UInt8]]) throws(StorageError) -> Range<UInt64> {
        let first = length
        guard !blocks.isEmpty else { return first..<first }
        var tree = tree
        var stored: [StoredBlock] = []
        stored.reserveCapacity(blocks.count)
        for (offset, block) in blocks.enumerated() {
            let index = first + UInt64(offset)
            let bytes = cipher?.seal(block, index: index, fork: fork) ?? block
            precondition(
                bytes.count <= Limits.blockSizeMax, "a block of \(bytes.count) stored bytes")
            precondition(tree.append(TreeHash.leaf(block: index, bytes: bytes)))
            stored.append(StoredBlock(index: index, bytes: bytes))
        }
        var change = LogChange(header: nil)
        change.blocks = stored
        try adopt(tree, signature: sign(tree, fork: fork), fork: fork, with: &change)
        return first..<length
    }

    /// Cuts the log off after `newLength` blocks and signs what is left as a higher fork.
    ///
    /// - Precondition: `isWritable`, `newLength` is less than `length`, and `fork` can still grow.
    package func truncate(to newLength: UInt64) throws(StorageError) {
        precondition(newLength < length, "truncation from \(length) to \(newLength)")
        precondition(fork < Limits.forkMax, "fork \(fork) cannot grow")
        var kept = GrowingTree()
        for root in FlatTree.fullRoots(length: newLength) {
            guard let node = try node(at: root), kept.append(node) else {
                throw .corrupt(what: "tree node \(root) of log \(key)")
            }
        }
        kept = GrowingTree(roots: kept.roots, length: newLength, byteLength: kept.byteLength)
        var change = LogChange(header: nil)
        change.truncation = truncation(to: newLength)
        let fork = fork &+ 1
        try adopt(kept, signature: sign(kept, fork: fork), fork: fork, with: &change)
    }

    /// Drops the bytes of blocks that are not needed here any more; their hashes stay. Blocks cleared
    /// from `fetchStart` on are not fetched again.
    package func clear(_ range: Range<UInt64>) throws(StorageError) {
        let range = range.clamped(to: 0..<length)
        guard !range.isEmpty else { return }
        var kept = held
        kept.remove(range)
        var newHeader = header
        newHeader.contiguousLength = kept.contiguousLength
        var change = LogChange(header: newHeader)
        change.cleared = range
        try storage.write(change, to: slot)
        header = newHeader
        storedContiguousLength = newHeader.contiguousLength
        held = kept
        heldGeneration &+= 1
        if range.lowerBound <= fetchStart { fetchStart = max(fetchStart, range.upperBound) }
    }

    /// The first run of stored blocks in a range, up to the next one of `kept`.
    ///
    /// - Parameter kept: ascending.
    package func firstStored(from start: UInt64, before end: UInt64, except kept: [UInt64])
        -> Range<UInt64>?
    {
        var index = start
        while let first = held.firstPresent(from: index), first < end {
            let last = min(held.firstAbsent(from: first), end)
            guard let stop = kept.first(where: { $0 >= first }), stop < last else {
                return first..<last
            }
            if stop > first { return first..<stop }
            index = stop + 1
        }
        return nil
    }

    // MARK: Taking in what was proved

    /// Stores what `verify` or `verifyReorganisation` gave; nothing else may have happened between.
    func store(_ verified: VerifiedProof) throws(StorageError) {
        if let rules = verified.rules { try store(rules) }
        var change = LogChange(header: nil)
        change.nodes = verified.nodes
        if let block = verified.block, !held.contains(block.index) { change.blocks = [block] }
        if let tree = verified.tree {
            if let common = verified.commonLength { change.truncation = truncation(to: common) }
            try adopt(tree, signature: verified.signature, fork: verified.fork, with: &change)
        } else if !change.nodes.isEmpty || !change.blocks.isEmpty {
            try write(&change, newHeader: header)
        }
    }

    /// Goes over to a longer tree that the writer signed, if nothing that is here needs to be its beginning.
    ///
    /// - Returns: whether it did.
    func leap(to signed: GrowingTree, _ signature: [UInt8]) throws(StorageError) -> Bool {
        longer = max(longer, signed.length)
        guard !isWritable, length < fetchStart || mayLeap, signed.length > length,
            signed.length >= fetchStart
        else { return false }
        var kept = min(fetchStart, length)
        for node in signed.added {
            // What is here is of another history.
            if let known = try self.node(at: node.index), known != node { kept = 0 }
        }
        var change = LogChange(header: nil)
        change.truncation = truncation(to: kept)
        try adopt(signed, signature: signature, fork: fork, with: &change)
        return true
    }

    /// Stores nodes that were proved to be this log's, and blocks that they prove.
    func store(_ nodes: [TreeNode], _ blocks: [StoredBlock] = []) throws(StorageError) {
        var change = LogChange(header: nil)
        change.nodes = nodes
        change.blocks = blocks
        guard !nodes.isEmpty || !blocks.isEmpty else { return }
        try write(&change, newHeader: header)
    }

    /// Remembers the manifest by itself: it was checked against the key.
    private func store(_ rules: SigningRules) throws(StorageError) {
        guard self.rules == nil else { return }
        var newHeader = header
        newHeader.manifest = rules.manifest.encoded
        try storage.write(LogChange(header: newHeader), to: slot)
        storedContiguousLength = newHeader.contiguousLength
        header = newHeader
        self.rules = rules
    }

    private func adopt(
        _ newTree: GrowingTree, signature: [UInt8], fork: UInt64, with change: inout LogChange
    ) throws(StorageError) {
        var newHeader = header
        newHeader.length = newTree.length
        newHeader.byteLength = newTree.byteLength
        newHeader.fork = fork
        newHeader.signature = signature
        change.nodes += newTree.added
        try write(&change, newHeader: newHeader)
        tree = GrowingTree(
            roots: newTree.roots, length: newTree.length, byteLength: newTree.byteLength)
    }

    private func write(
        _ change: inout LogChange, newHeader: LogHeader
    ) throws(StorageError) {
        var newHeld = held
        if let truncation = change.truncation { newHeld.remove(truncation.length..<UInt64.max) }
        for block in change.blocks { newHeld.insert(block.index) }
        var newHeader = newHeader
        newHeader.contiguousLength = newHeld.contiguousLength
        let lag = newHeader.contiguousLength.subtractingReportingOverflow(
            storedContiguousLength)
        let isHeaderDue =
            newHeader.length != header.length || newHeader.fork != header.fork
            || lag.overflow || lag.partialValue >= Limits.headerLagMax
        if isHeaderDue { change.header = newHeader }
        try storage.write(change, to: slot)
        if isHeaderDue { storedContiguousLength = newHeader.contiguousLength }
        if change.truncation != nil { cache.removeAll() }
        for node in change.nodes { cache.insert(node) }
        header = newHeader
        if newHeld != held {
            held = newHeld
            heldGeneration &+= 1
        }
        if !sought.isEmpty { for block in change.blocks { sought.remove(block.index) } }
    }

    private func truncation(to newLength: UInt64) -> LogChange.Truncation {
        var truncation = LogChange.Truncation(length: newLength, spanningNodes: [])
        guard newLength > 0 else { return truncation }
        var node = 2 &* newLength &- 2
        while FlatTree.leafCount(node) < length {
            node = FlatTree.parent(node)
            if FlatTree.lengthSpanned(node) > newLength, node < truncation.firstNode {
                truncation.spanningNodes.append(node)
            }
        }
        return truncation
    }

    // MARK: Details

    private var soleSigner: Int? {
        guard let keyPair, let rules else { return nil }
        return rules.soleSigner(keyPair.publicKey)
    }

    private func sign(_ tree: GrowingTree, fork: UInt64) -> [UInt8] {
        guard let keyPair, let rules, let signer = soleSigner else {
            preconditionFailure("log \(key) cannot be written on this device")
        }
        return rules.sign(tree, fork: fork, keyPair: keyPair, signer: signer)
    }

    private static func loadTree(
        _ header: LogHeader, _ slot: WriterSlot, _ storage: any LogStorage
    ) throws(StorageError) -> GrowingTree {
        let damage = StorageError.corrupt(what: "tree of log \(header.key)")
        guard header.length <= Limits.lengthMax, header.fork <= Limits.forkMax,
            header.signature.count <= Limits.signatureSizeMax
        else { throw damage }
        var tree = GrowingTree()
        for root in FlatTree.fullRoots(length: header.length) {
            guard let node = try storage.node(slot, at: root), node.index == root,
                tree.append(node)
            else { throw damage }
        }
        guard tree.byteLength == header.byteLength,
            header.contiguousLength <= header.length
        else { throw damage }
        return GrowingTree(
            roots: tree.roots, length: tree.length, byteLength: tree.byteLength)
    }

    /// A number for one more replication of this log.
    func nextReplication() -> Int {
        replicationCount &+= 1
        return replicationCount
    }
}

/// The tree nodes touched last, in two generations: when the young one is full, the old one goes.
private struct NodeCache {
    private let limit: Int
    private var young: [UInt64: TreeNode] = [:]
    private var old: [UInt64: TreeNode] = [:]

    init(limit: Int) { self.limit = limit }

    subscript(index: UInt64) -> TreeNode? {
        mutating get {
            if let node = young[index] { return node }
            guard let node = old[index] else { return nil }
            insert(node)
            return node
        }
    }

    mutating func insert(_ node: TreeNode) {
        if young.count >= limit {
            swap(&young, &old)
            young.removeAll(keepingCapacity: true)
        }
        young[node.index] = node
    }

    mutating func removeAll() {
        young = [:]
        old = [:]
    }
}
