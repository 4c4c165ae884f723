import Base
import FileTree

/// Why things show as they do.
extension Engine {
    func explanation(of path: [[UInt8]]) throws(VolumeError) -> Explanation {
        var node = Node(id: .root, object: .root, entry: nil, kind: .directory)
        for name in path {
            guard node.kind == .directory else { throw .notDirectory }
            let directory = node.id
            let next = try Self.stored { () throws(StorageError) in
                try tree.lookup(name, in: directory)
            }
            guard let next else { throw .notFound }
            node = next
        }
        let contest = try contest(at: path)
        return try Self.stored { () throws(StorageError) in
            try explanation(of: node, at: path, contest)
        }
    }

    private func explanation(of node: Node, at path: [[UInt8]], _ contest: Contest?)
        throws(StorageError) -> Explanation
    {
        guard let row = try storage.object(node.object) else {
            throw .corrupt(what: "object \(node.object) is missing; rebuild the view")
        }
        var placed: Explanation.Cause?
        if let id = node.entry, let entry = try storage.entry(id) {
            placed = cause(entry.placement.stamp)
        }
        let (rule, heads) =
            node.kind == .file ? try content(of: node, row, contest) : (nil, [])
        let merging = heads.count > 1 ? try explainContent(of: node.object) : nil
        return Explanation(
            path: path, kind: FileKind(node.kind), made: cause(row.made), placed: placed,
            changed: cause(row.changed), names: row.links,
            unitedWith: try united(with: node), content: rule,
            rulesVersion: rule == .merged ? merging?.rules : nil, merging: merging?.rule,
            heads: heads,
            conflict: try contest.flatMap { (contest) throws(StorageError) in
                try conflict(contest)
            })
    }

    private func united(with directory: Node) throws(StorageError) -> [Explanation.Cause] {
        guard directory.kind == .directory else { return [] }
        var causes: [Explanation.Cause] = []
        for member in try tree.members(of: directory.object)
        where member.object != directory.object {
            guard let object = try storage.object(member.object) else { continue }
            causes.append(cause(object.made))
        }
        return causes
    }

    private func content(of node: Node, _ row: ObjectRow, _ contest: Contest?)
        throws(StorageError) -> (Explanation.ContentRule, [Explanation.Head])
    {
        let rows = try storage.heads(of: node.object)
            .sorted { writers.precedes($1.stamp, $0.stamp) }
        let shown = try tree.content(of: node.object)?.versions ?? []
        let merge = try tree.merge(of: node.object)
        let merged = try mergeBases(merge)
        var heads: [Explanation.Head] = []
        for version in rows {
            let copy = contest?.contenders.first {
                $0.isCopy && $0.object == node.object && $0.versions.contains(version.id)
            }
            var head = Explanation.Head(
                cause: cause(version.stamp), size: version.size,
                parents: version.parents.map { OperationName.text(of: $0, writers) },
                state: .closed, shownName: nil, bases: [])
            if shown.contains(version.id) {
                head.state = .shown
            } else if !version.isClosed {
                head.state = copy?.isRendered == true ? .copy : .listed
                head.shownName = copy?.isRendered == true ? copy?.shownName : nil
            }
            if let bases = merged[version.id] {
                head.bases = bases
            } else if let winner = shown.first, head.state != .shown {
                head.bases = try tree.bases(of: winner, version.id).map {
                    OperationName.text(of: $0.id, writers)
                }
            }
            heads.append(head)
        }
        return (rule(for: node, heads, merge?.verdict), heads)
    }

    /// On which versions each merged head but the earliest was merged with those before it.
    private func mergeBases(_ merge: HeadsMerge?) throws(StorageError) -> [VersionID: [String]] {
        guard let merge, case .merged = merge.verdict, let plan = try tree.plan(merge.question)
        else { return [:] }
        var bases: [VersionID: [String]] = [:]
        for step in plan.steps {
            bases[step.head.id] = step.bases.compactMap { base in
                base.map { OperationName.text(of: $0.id, writers) }
            }
        }
        return bases
    }

    private func rule(
        for node: Node, _ heads: [Explanation.Head], _ verdict: MergeVerdict?
    ) -> Explanation.ContentRule {
        if node.isCopy { return .conflictCopy }
        switch verdict {
        case .merged: return .merged
        case .pending: return .waiting
        case .conflict, nil: break
        }
        if heads.isEmpty { return .neverWritten }
        if heads.count == 1 { return .onlyHead }
        let others = heads.filter { $0.state != .shown }
        if others.isEmpty { return .equalHeads }
        return others.allSatisfy { $0.state == .closed } ? .othersClosed : .lastWritten
    }

    private func cause(_ stamp: Stamp) -> Explanation.Cause {
        Explanation.Cause(
            operation: OperationName.text(of: stamp.operation, writers),
            device: stamp.operation == .root ? "" : deviceName(of: stamp.operation.writer),
            time: stamp.timestamp)
    }
}

extension ShareVolume {
    /// Why a path shows what it shows.
    ///
    /// - Parameter path: names from the root.
    package func explain(_ path: [[UInt8]]) throws(VolumeError) -> Explanation {
        try engine.withLock { (engine) throws(VolumeError) in try engine.explanation(of: path) }
    }
}
