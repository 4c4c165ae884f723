internal import Base

extension Log {
    /// What a request asks for, with the path to what the asker trusts.
    ///
    /// The manifest is not included.
    func proof(for request: RequestMessage) throws(ProofRefusal) -> Proof {
        guard request.fork == fork, length > 0 else { throw .notAvailable }
        var start: UInt64?
        var to = length
        if let upgrade = request.upgrade {
            (start, to) = try upgradeBounds(upgrade)
        }
        let target = try target(of: request, to: to)
        guard target != nil || start != nil else { throw .invalid("nothing asked for") }
        let plan: ProofPlan
        if let seek = request.seek {
            plan = try ProofPlan(target: target, start: start, to: to, head: length) {
                root throws(ProofRefusal) in
                try self.seekNode(seek, below: root, to: to)
            }
        } else {
            plan = try ProofPlan(target: target, start: start, to: to, head: length)
        }
        return try proof(plan, request, start: start, to: to)
    }

    private func upgradeBounds(
        _ upgrade: RequestMessage.Upgrade
    ) throws(ProofRefusal) -> (start: UInt64, to: UInt64) {
        var start = upgrade.start
        guard start <= Limits.lengthMax, upgrade.length <= Limits.lengthMax else {
            throw .invalid("length of an upgrade")
        }
        var to = start &+ upgrade.length
        if let prologue = manifest?.prologue, start < prologue.length {
            start = 0
            to = max(to, prologue.length)
        }
        return (start, to)
    }

    private func target(
        of request: RequestMessage, to: UInt64
    ) throws(ProofRefusal) -> ProofPlan.Target? {
        if let block = request.block {
            guard block.index < to, block.nodes <= 64 else {
                throw .invalid("block out of range")
            }
            guard hasBlock(at: block.index) else { throw .notAvailable }
            return ProofPlan.Target(
                node: 2 &* block.index, steps: block.nodes, isBlock: true)
        }
        if let hash = request.hash {
            guard hash.index <= 2 &* to, FlatTree.lengthSpanned(hash.index) <= to,
                hash.nodes <= 64
            else { throw .invalid("tree node out of range") }
            return ProofPlan.Target(node: hash.index, steps: hash.nodes, isBlock: false)
        }
        return nil
    }

    private func proof(
        _ plan: ProofPlan, _ request: RequestMessage, start: UInt64?, to: UInt64
    ) throws(ProofRefusal) -> Proof {
        var proof = Proof(fork: fork)
        if let path = plan.target {
            if let block = request.block {
                let stored: [UInt8]?
                do throws(StorageError) { stored = try storedBlock(at: block.index) } catch {
                    throw .storage(error)
                }
                guard let stored else { throw .notAvailable }
                proof.block = Proof.Block(
                    index: block.index, bytes: stored, nodes: try nodes(path))
            } else if let hash = request.hash {
                proof.hash = Proof.Hash(index: hash.index, nodes: try nodes(path))
            }
        }
        if let path = plan.seek, let seek = request.seek {
            proof.seek = Proof.Seek(bytes: seek.bytes, nodes: try nodes(path))
        }
        if let path = plan.upgrade, let start {
            proof.upgrade = Proof.Upgrade(
                start: start, length: to &- start, nodes: try nodes(path),
                additionalNodes: try nodes(plan.additional ?? []), signature: signature)
        }
        return proof
    }

    private func nodes(_ indexes: [UInt64]) throws(ProofRefusal) -> [TreeNode] {
        var nodes: [TreeNode] = []
        nodes.reserveCapacity(indexes.count)
        for index in indexes { nodes.append(try availableNode(at: index)) }
        return nodes
    }

    private func availableNode(at index: UInt64) throws(ProofRefusal) -> TreeNode {
        let node: TreeNode?
        do throws(StorageError) { node = try self.node(at: index) } catch {
            throw .storage(error)
        }
        guard let node else { throw .notAvailable }
        return node
    }

    // MARK: Seeking

    /// The node where a byte offset falls: in the subtree `root`, or in the log of `to` blocks.
    private func seekNode(
        _ seek: RequestMessage.Seek, below root: UInt64?, to: UInt64
    ) throws(ProofRefusal) -> UInt64 {
        if let root {
            let offset = try byteOffset(of: root, padding: seek.padding)
            guard offset <= seek.bytes else { throw .invalid("seek before the subtree") }
            guard offset < seek.bytes else { return root }
            let size = try seekableSize(of: root, padding: seek.padding)
            guard seek.bytes &- offset < size else { throw .invalid("seek after the subtree") }
            return try descend(root, bytes: seek.bytes &- offset, padding: seek.padding)
        }
        var bytes = seek.bytes
        for root in FlatTree.fullRoots(length: to) {
            let size = try seekableSize(of: root, padding: seek.padding)
            if bytes == size { return root }
            if bytes < size { return try descend(root, bytes: bytes, padding: seek.padding) }
            bytes &-= size
        }
        throw .invalid("seek out of the log")
    }

    private func descend(
        _ root: UInt64, bytes: UInt64, padding: UInt64
    ) throws(ProofRefusal) -> UInt64 {
        guard bytes > 0 else { return root }
        var bytes = bytes
        var node = root
        while node & 1 != 0 {
            let left = FlatTree.leftChild(node)
            let known: TreeNode?
            do throws(StorageError) { known = try self.node(at: left) } catch {
                throw .storage(error)
            }
            guard let known else { return node }
            let size = Self.seekableSize(known, padding: padding)
            if size == bytes { return FlatTree.rightChild(node) }
            if size > bytes {
                node = left
            } else {
                bytes &-= size
                node = FlatTree.rightChild(node)
            }
        }
        return node
    }

    /// The bytes to the left of `node`.
    private func byteOffset(
        of node: UInt64, padding: UInt64
    ) throws(ProofRefusal) -> UInt64 {
        let first = FlatTree.leftSpan(node)
        var offset: UInt64 = 0
        for root in FlatTree.fullRoots(length: first / 2) {
            offset &+= try seekableSize(of: root, padding: padding)
        }
        return offset
    }

    private func seekableSize(
        of index: UInt64, padding: UInt64
    ) throws(ProofRefusal) -> UInt64 {
        Self.seekableSize(try availableNode(at: index), padding: padding)
    }

    /// The bytes below a node that the asker counts.
    private static func seekableSize(_ node: TreeNode, padding: UInt64) -> UInt64 {
        let (hidden, overflow) = padding.multipliedReportingOverflow(
            by: FlatTree.leafCount(node.index))
        return overflow || hidden > node.size ? 0 : node.size &- hidden
    }
}
