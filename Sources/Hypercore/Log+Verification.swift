internal import Base

/// A proof that was checked, in the form in which it is stored.
struct VerifiedProof {
    /// Every node met, given or computed, below the upgrade.
    var nodes: [TreeNode] = []
    var block: StoredBlock?
    /// The longer log, when the proof upgrades.
    var tree: GrowingTree?
    var signature: [UInt8] = []
    var fork: UInt64
    /// Blocks kept when the log turns to another fork.
    var commonLength: UInt64?
    /// Who may sign, when the proof told.
    var rules: SigningRules?
}

extension Log {
    /// Checks a proof against what is known; stores nothing.
    func verify(_ proof: Proof) throws(ProofError) -> VerifiedProof {
        guard proof.fork == fork else { throw .stale }
        var verified = VerifiedProof(fork: proof.fork)
        verified.rules = try newRules(from: proof)
        var root = try subtreeRoot(of: proof, nodes: &verified.nodes)
        verified.block = proof.block.map { StoredBlock(index: $0.index, bytes: $0.bytes) }
        if let upgrade = proof.upgrade {
            guard upgrade.start == length else { throw .stale }
            let rules = rules ?? verified.rules
            let hadRoot = root != nil
            verified.tree = try upgraded(
                from: tree, by: upgrade, fork: proof.fork, rules: rules, joining: &root)
            // A subtree root that the upgrade took in is among the tree's own nodes.
            if hadRoot, root == nil { verified.nodes.removeLast() }
            verified.signature = upgrade.signature
        }
        if let root { try check(root) }
        return verified
    }

    /// Checks a proof from zero of a log that goes by a higher fork; stores nothing.
    func verifyReorganisation(_ proof: Proof) throws(ProofError) -> VerifiedProof {
        guard proof.fork > fork || length == 0 else { throw .stale }
        guard let upgrade = proof.upgrade, upgrade.start == 0 else {
            throw .malformed("another fork without an upgrade from zero")
        }
        var verified = VerifiedProof(fork: proof.fork)
        verified.rules = try newRules(from: proof)
        var nothing: TreeNode?
        let tree = try upgraded(
            from: GrowingTree(), by: upgrade, fork: proof.fork, rules: rules ?? verified.rules,
            joining: &nothing)
        verified.tree = tree
        verified.signature = upgrade.signature
        verified.commonLength = try commonLength(with: tree)
        return verified
    }

    /// What a proof from zero shows of a history that is as equally signed as this one, and no longer.
    enum Comparison: Equatable {
        /// It is this one, in so many first blocks.
        case same(UInt64)
        /// It is another one; they agree on so many blocks at least.
        case different(common: UInt64)
        /// They cannot be compared.
        case unknown
    }

    func compare(with proof: Proof) throws(ProofError) -> Comparison {
        let other = try treeFromZero(proof)
        guard other.length <= length else { return .unknown }
        for root in FlatTree.fullRoots(length: other.length) {
            let own: TreeNode?
            do throws(StorageError) { own = try node(at: root) } catch { throw .storage(error) }
            guard own != nil else { return .unknown }
        }
        let common = try commonLength(with: other)
        return common < other.length ? .different(common: common) : .same(common)
    }

    /// How many blocks this log shares at least with a longer one that a proof from zero shows to be signed.
    ///
    /// - Returns: nil if that is no longer than this one.
    func leastCommon(withLonger proof: Proof) throws(ProofError) -> UInt64? {
        let other = try treeFromZero(proof)
        return other.length > length ? try commonLength(with: other) : nil
    }

    /// The tree that a proof from zero shows to be signed.
    func signedTree(from proof: Proof) throws(ProofError) -> GrowingTree {
        var whole = GrowingTree()
        _ = try treeFromZero(proof, leadingTo: &whole)
        return whole
    }

    /// What the log was after the blocks that a proof from zero names. The nodes of one that leads to this very log are
    /// kept: with them others can be shown what this one was shown.
    func prefix(from proof: Proof) throws(ProofError) -> LogPrefix {
        var whole = GrowingTree()
        let tree = try treeFromZero(proof, leadingTo: &whole)
        if whole.length == length, whole.hash == treeHash {
            do throws(StorageError) { try store(whole.added) } catch { throw .storage(error) }
        }
        return LogPrefix(length: tree.length, roots: tree.roots)
    }

    // MARK: Parts

    /// The tree at the length that a proof from zero of this fork names; what it is signed with was checked.
    private func treeFromZero(_ proof: Proof) throws(ProofError) -> GrowingTree {
        var whole = GrowingTree()
        return try treeFromZero(proof, leadingTo: &whole)
    }

    /// - Parameter whole: the tree that is signed.
    private func treeFromZero(_ proof: Proof, leadingTo whole: inout GrowingTree) throws(ProofError)
        -> GrowingTree
    {
        guard proof.fork == fork else { throw .stale }
        guard let upgrade = proof.upgrade, upgrade.start == 0 else {
            throw .malformed("no proof from zero")
        }
        var tree = GrowingTree()
        var nothing: TreeNode?
        whole = try upgraded(
            from: GrowingTree(), by: upgrade, fork: proof.fork, rules: rules,
            joining: &nothing, meeting: &tree)
        return tree
    }

    private func newRules(from proof: Proof) throws(ProofError) -> SigningRules? {
        guard rules == nil, let manifest = proof.manifest else { return nil }
        guard let rules = SigningRules(key: key, manifest: manifest) else {
            throw .refuted("the manifest is another log's")
        }
        return rules
    }

    /// The uppermost node that block, hash and seek lead to; not yet trusted.
    private func subtreeRoot(
        of proof: Proof, nodes: inout [TreeNode]
    ) throws(ProofError) -> TreeNode? {
        var seekRoot = try seekRoot(of: proof.seek, nodes: &nodes)
        var root: TreeNode
        var path: ArraySlice<TreeNode>
        if let block = proof.block {
            guard block.index < Limits.lengthMax, block.bytes.count <= Limits.blockSizeMax
            else { throw .malformed("block out of range") }
            root = TreeHash.leaf(block: block.index, bytes: block.bytes)
            path = block.nodes[...]
        } else if let hash = proof.hash {
            guard let first = hash.nodes.first, first.index == hash.index else {
                throw .malformed("a hash without its node")
            }
            root = first
            path = hash.nodes.dropFirst()
        } else {
            return seekRoot
        }
        nodes.append(root)
        while !path.isEmpty || seekRoot != nil {
            let sibling: TreeNode
            if let node = seekRoot, node.index == FlatTree.sibling(root.index) {
                sibling = node
                seekRoot = nil
            } else if let node = path.popFirst() {
                sibling = node
                nodes.append(node)
            } else {
                throw .malformed("a seek that joins nothing")
            }
            root = try parent(of: root, sibling)
            nodes.append(root)
        }
        return root
    }

    private func seekRoot(
        of seek: Proof.Seek?, nodes: inout [TreeNode]
    ) throws(ProofError) -> TreeNode? {
        guard let seek, var root = seek.nodes.first else { return nil }
        nodes.append(root)
        for node in seek.nodes.dropFirst() {
            nodes.append(node)
            root = try parent(of: root, node)
            nodes.append(root)
        }
        return root
    }

    private func parent(
        of node: TreeNode, _ sibling: TreeNode
    ) throws(ProofError) -> TreeNode {
        guard sibling.index == FlatTree.sibling(node.index),
            FlatTree.lengthSpanned(node.index) <= Limits.lengthMax,
            let parent = TreeHash.parent(node, sibling)
        else { throw .malformed("node \(sibling.index) beside node \(node.index)") }
        return parent
    }

    /// The uppermost node must be one that is trusted already.
    private func check(_ root: TreeNode) throws(ProofError) {
        let trusted: TreeNode?
        do throws(StorageError) { trusted = try node(at: root.index) } catch {
            throw .storage(error)
        }
        guard let trusted else { throw .unknownRoot }
        guard trusted == root else { throw .refuted("hash of tree node \(root.index)") }
    }

    private func upgraded(
        from base: GrowingTree, by upgrade: Proof.Upgrade, fork: UInt64, rules: SigningRules?,
        joining root: inout TreeNode?
    ) throws(ProofError) -> GrowingTree {
        var target = GrowingTree()
        return try upgraded(
            from: base, by: upgrade, fork: fork, rules: rules, joining: &root,
            meeting: &target)
    }

    /// The signed log that an upgrade leads to.
    ///
    /// - Parameters:
    ///   - rules: nil takes the log to be an old one, whose key is the signer's.
    ///   - root: a subtree root that may stand in for a listed node; nil afterwards if it did.
    ///   - target: the tree as it was at the length that the upgrade names.
    private func upgraded(
        from base: GrowingTree, by upgrade: Proof.Upgrade, fork: UInt64, rules: SigningRules?,
        joining root: inout TreeNode?, meeting target: inout GrowingTree
    ) throws(ProofError) -> GrowingTree {
        guard let rules = rules ?? SigningRules(key: key, manifest: nil) else {
            throw .refuted("no manifest")
        }
        let newLength = upgrade.start &+ upgrade.length
        guard upgrade.length > 0, newLength <= Limits.lengthMax else {
            throw .malformed("upgrade to \(newLength) blocks")
        }
        if let prologue = rules.manifest.prologue, upgrade.start < prologue.length {
            guard upgrade.start == 0, newLength >= prologue.length else {
                throw .malformed("an upgrade into the prologue")
            }
        }
        var tree = base
        var rest = upgrade.nodes[...]
        let missing = tree.grow(to: newLength) { wanted in
            if let node = root, node.index == wanted {
                root = nil
                return node
            }
            guard let node = rest.first, node.index == wanted else { return nil }
            rest.removeFirst()
            return node
        }
        if let missing { throw .malformed("upgrade without node \(missing)") }
        if let prologue = rules.manifest.prologue, tree.length == prologue.length,
            tree.hash != prologue.hash
        {
            throw .refuted("the prologue")
        }
        target = tree
        for node in upgrade.additionalNodes {
            guard tree.append(node) else {
                throw .malformed("additional node \(node.index)")
            }
        }
        guard rules.accepts(upgrade.signature, of: tree, fork: fork) else {
            throw .refuted("the signature over \(tree.length) blocks")
        }
        return tree
    }

    /// How many blocks two logs share, going by whole subtrees.
    private func commonLength(with other: GrowingTree) throws(ProofError) -> UInt64 {
        var common: UInt64 = 0
        for root in other.roots {
            let own: TreeNode?
            do throws(StorageError) { own = try node(at: root.index) } catch {
                throw .storage(error)
            }
            guard own == root else { break }
            common = FlatTree.lengthSpanned(root.index)
        }
        return common
    }
}
