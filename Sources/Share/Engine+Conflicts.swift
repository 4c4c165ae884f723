import Base
import Crypto
import FileTree

/// Conflicts as the share tells them.
extension Engine {
    /// Conflicts by key, after one if given.
    ///
    /// - Returns: those of the next `limit` rows, and the last of these; nil at the end.
    func conflicts(after last: ConflictRow?, limit: Int) throws(StorageError)
        -> (conflicts: [ShareConflict], last: ConflictRow?)
    {
        let rows = try tree.conflicts(after: last, limit: limit)
        var found: [ShareConflict] = []
        var before = last
        for row in rows {
            defer { before = row }
            // A contest is told with its first row.
            guard before?.parent != row.parent || before?.name != row.name else { continue }
            guard let contest = try tree.contest(of: row),
                let conflict = try conflict(contest)
            else { continue }
            found.append(conflict)
        }
        return (found, rows.last)
    }

    /// The contest that a path is part of.
    func contest(at path: [[UInt8]]) throws(VolumeError) -> Contest? {
        guard let name = path.last else { return nil }
        var directory = ObjectID.root
        for name in path.dropLast() {
            let node = try Self.stored { () throws(StorageError) in
                try tree.lookup(name, in: directory)
            }
            guard let node, node.kind == .directory else { throw .notFound }
            directory = node.id
        }
        return try Self.stored { () throws(StorageError) in
            try tree.contest(for: name, in: directory)
        }
    }

    /// - Returns: nil if its directory does not show.
    func conflict(_ contest: Contest) throws(StorageError) -> ShareConflict? {
        guard let path = try tree.names(leadingTo: contest.directory) else { return nil }
        var versions: [ShareConflict.Version] = []
        for contender in contest.contenders {
            versions.append(try version(contender, in: contest))
        }
        let isOneFile = Set(contest.contenders.map(\.object)).count == 1
        return ShareConflict(
            path: path + [contest.name],
            kind: contest.isReserved ? .reserved : isOneFile ? .versions : .name,
            versions: versions)
    }

    private func version(_ contender: Contest.Contender, in contest: Contest)
        throws(StorageError) -> ShareConflict.Version
    {
        let attributes = try tree.attributes(of: contender.object)
        let target =
            contender.kind == .symlink ? try tree.target(of: contender.object) ?? [] : []
        let stamp = contender.stamp
        return ShareConflict.Version(
            id: OperationName.text(of: stamp.operation, writers),
            node: NodeID(contender.version?.id ?? contender.object),
            kind: FileKind(contender.kind), device: deviceName(of: stamp.operation.writer),
            isOwn: isOwn(stamp.operation.writer), time: stamp.timestamp,
            size: contender.version?.size ?? 0,
            modified: contender.version?.modified ?? attributes?.modified ?? .epoch,
            isShown: contender.shownName == nil,
            shownName: contender.isRendered ? contender.shownName : nil,
            reason: contest.reason(for: contender), mode: UInt32(attributes?.mode ?? 0),
            target: target)
    }

    /// Whether a log is this device's: the one it writes to, or an earlier one.
    func isOwn(_ slot: WriterSlot) -> Bool {
        slot == ownSlot
            || membership.member(log: writers.key(of: slot))?.device == device.publicKey
    }

    /// What people call a log's device: its name, or the first digits of the log's key.
    func deviceName(of slot: WriterSlot) -> String {
        let key = writers.key(of: slot)
        let name = membership.member(log: key)?.name ?? []
        if !name.isEmpty { return String(decoding: name, as: UTF8.self) }
        return slot == ownSlot ? deviceName : String(key.hex.prefix(8))
    }
}

extension Contest {
    fileprivate func reason(for contender: Contender) -> ShareConflict.Reason {
        if isReserved { return .reserved }
        guard let holder else { return .nameLater }
        if contender.entry == holder.entry {
            if contender.isCopy { return .writtenEarlier }
            let others = contenders.filter { $0.entry != holder.entry }
            if others.isEmpty { return .writtenLast }
            if others.contains(where: { $0.kind == holder.kind }) { return .nameFirst }
            return holder.kind == .directory ? .folderFirst : .fileFirst
        }
        if contender.isCopy { return .writtenEarlier }
        if contender.kind == holder.kind { return .nameLater }
        return holder.kind == .directory ? .folderFirst : .fileFirst
    }
}
