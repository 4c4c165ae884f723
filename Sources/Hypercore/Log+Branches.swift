package import Base

/// Two histories of one log, each under a slot of its own: what the writer's device needs to go on.
extension Log {
    /// Whether the bytes of every block from `fetchStart` on are here.
    package var isComplete: Bool {
        length <= fetchStart || held.firstAbsent(from: fetchStart) >= length
    }

    /// The first block from `fetchStart` on that is not here; nil if there is none.
    package var firstMissing: UInt64? {
        let missing = held.firstAbsent(from: fetchStart)
        return missing < length ? missing : nil
    }

    /// How many blocks this log and another history of it have in common; those before the `fetchStart` of
    /// the other, and those of which the bytes were given back here, are taken for the same.
    ///
    /// - Returns: nil while one of them lacks a block that tells.
    package func commonLength(with branch: Log) throws(StorageError) -> UInt64? {
        let end = min(length, branch.length)
        for index in min(branch.fetchStart, end)..<end {
            if index < fetchStart, !hasBlock(at: index) { continue }
            guard branch.hasBlock(at: index), hasBlock(at: index) else { return nil }
            guard try storedBlock(at: index) == branch.storedBlock(at: index) else { return index }
        }
        return end
    }

    /// Takes on the length of another copy, which has tree nodes that show how the log goes on from what is here.
    ///
    /// - Returns: false if it does not go on from that, or nodes are missing.
    package func follow(_ branch: Log) throws(StorageError) -> Bool {
        guard branch.fork == fork, branch.length > length else { return false }
        let request = RequestMessage(
            id: 0, fork: fork, upgrade: .init(start: length, length: branch.length &- length))
        guard let proof = try branch.availableProof(for: request),
            let verified = try verified(proof)
        else { return false }
        try store(verified)
        return true
    }

    /// Takes over what another history of this log has of the blocks that both have, before `fetchStart`: the tree nodes
    /// over them, so that this copy can show how it goes on from any of them, and the bytes of some. What no hash here
    /// shows to be the same is left.
    ///
    /// - Parameter blocks: those of which the bytes are taken, too.
    package func takeOver(from other: Log, blocks: [UInt64]) throws(StorageError) {
        let blocks = Set(blocks)
        var waiting = tree.roots.map(\.index)
        while let index = waiting.popLast() {
            guard FlatTree.leftSpan(index) / 2 < fetchStart, let own = try node(at: index) else {
                continue
            }
            if try other.node(at: index) == own {
                try takeOver(below: own, from: other, blocks)
            } else if index & 1 != 0 {
                waiting += [FlatTree.leftChild(index), FlatTree.rightChild(index)]
            }
        }
    }

    private func takeOver(below root: TreeNode, from other: Log, _ blocks: Set<UInt64>)
        throws(StorageError)
    {
        var nodes: [TreeNode] = []
        var taken: [StoredBlock] = []
        var waiting = [root.index]
        while let index = waiting.popLast() {
            if index & 1 == 0 {
                let block = index / 2
                guard blocks.contains(block), !hasBlock(at: block),
                    let bytes = try other.storedBlock(at: block)
                else { continue }
                taken.append(StoredBlock(index: block, bytes: bytes))
                continue
            }
            // Of a pair one is not there without the other.
            guard let left = try other.node(at: FlatTree.leftChild(index)),
                let right = try other.node(at: FlatTree.rightChild(index))
            else { continue }
            nodes += [left, right]
            waiting += [left.index, right.index]
            if nodes.count >= Limits.cachedNodesMax {
                try store(nodes)
                nodes = []
            }
        }
        try store(nodes, taken)
    }

    private func availableProof(for request: RequestMessage) throws(StorageError) -> Proof? {
        do throws(ProofRefusal) { return try proof(for: request) } catch {
            guard case .storage(let error) = error else { return nil }
            throw error
        }
    }

    private func verified(_ proof: Proof) throws(StorageError) -> VerifiedProof? {
        do throws(ProofError) { return try verify(proof) } catch {
            guard case .storage(let error) = error else { return nil }
            throw error
        }
    }

    /// Forgets everything that is stored under this log's slot; the object is of no use afterwards.
    package func erase() throws(StorageError) {
        var change = LogChange(header: LogHeader(key: key))
        change.truncation = LogChange.Truncation(length: 0, spanningNodes: [])
        try storage.write(change, to: slot)
    }
}
