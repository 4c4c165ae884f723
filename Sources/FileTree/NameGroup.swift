/// Everything visible that would have one name in one directory, and how it shows. Pure.
///
/// - Directories of one origin are united (`unions`).
/// - The holder has the plain name: a directory before a file before a symlink before the rest, then who had
///   the name first.
/// - Files with the holder's bytes, or another's, and symlinks with the same target are hidden behind it.
/// - The others, and every head of a file that is not the file itself, are losers: they show beside.
struct NameGroup {
    struct Member {
        var entry: EntryRow
        var object: ObjectRow
        /// What a file shows, the file itself first; empty for others and before the first save.
        var heads: [ShownHeads.Item]
    }

    struct Loser: Equatable {
        var entry: EntryID
        /// Nil if the loser is the entry itself.
        var version: VersionID?
        var node: OperationID
        var kind: ObjectKind
        /// Who placed or wrote it, and when.
        var stamp: Stamp
    }

    private(set) var holder: EntryID?
    /// The earlier ones first.
    private(set) var losers: [Loser] = []
    /// Entry to the entry it is hidden behind.
    private(set) var twins: [EntryID: EntryID] = [:]

    /// - Parameter isReserved: whether nobody may hold the name: then all are losers.
    init(_ members: [Member], writers: WriterTable, isReserved: Bool = false) {
        let canonical = Set(Self.unions(of: members, writers: writers).compactMap(\.first))
        let directories = members.filter { canonical.contains($0.object.id) }
        let others = members.filter { $0.entry.kind != .directory }
        let sorted = (directories + others).sorted { left, right in
            let (first, second) = (left.entry.kind.rank, right.entry.kind.rank)
            if first != second { return first < second }
            return writers.precedes(left.entry.placement.stamp, right.entry.placement.stamp)
        }

        var shown: [Content: EntryID] = [:]
        for member in sorted {
            let content = Content(member)
            if let content, let twin = shown[content] {
                twins[member.entry.id] = twin
                continue
            }
            if holder == nil, !isReserved {
                holder = member.entry.id
            } else {
                losers.append(Loser(member))
            }
            if let content { shown[content] = member.entry.id }
        }
        for member in sorted {
            for head in member.heads.dropFirst() {
                let content = Content.file(head.version.bytes)
                guard shown.updateValue(member.entry.id, forKey: content) == nil else { continue }
                losers.append(Loser(head.version, of: member))
            }
        }
        losers.sort { writers.precedes($0.stamp, $1.stamp) }
    }

    /// The directories of a group that are one, the canonical one first; single ones too.
    ///
    /// Directories are united if all are where they were made, or if one block put all of them there:
    /// that is how a united directory is renamed.
    static func unions(of members: [Member], writers: WriterTable) -> [[ObjectID]] {
        var unions: [(key: OperationID?, rows: [ObjectRow])] = []
        for member in members where member.entry.kind == .directory {
            let mover = member.entry.isAtFirstPlace ? nil : member.entry.placement.stamp.operation
            let known = unions.firstIndex { union in
                guard let key = union.key, let mover else { return union.key == mover }
                return key.sharesBlock(with: mover)
            }
            if let known {
                unions[known].rows.append(member.object)
            } else {
                unions.append((mover, [member.object]))
            }
        }
        return unions.map { union in
            union.rows.sorted { writers.precedes($0.made, $1.made) }.map(\.id)
        }
    }
}

/// What makes two things under one name the same thing.
private enum Content: Hashable {
    case file(VersionRow.Bytes)
    case symlink(target: [UInt8])

    /// Nil for kinds that are never the same.
    init?(_ member: NameGroup.Member) {
        switch member.entry.kind {
        // A file that was never written is as empty as one that was emptied.
        case .file: self = .file(member.heads.first?.version.bytes ?? .none)
        case .symlink: self = .symlink(target: member.object.target)
        case .directory, .fifo, .socket, .characterDevice, .blockDevice: return nil
        }
    }
}

extension NameGroup.Loser {
    fileprivate init(_ member: NameGroup.Member) {
        self.init(
            entry: member.entry.id, version: nil, node: member.object.id, kind: member.entry.kind,
            stamp: member.entry.placement.stamp)
    }

    fileprivate init(_ version: VersionRow, of member: NameGroup.Member) {
        self.init(
            entry: member.entry.id, version: version.id, node: version.id, kind: .file,
            stamp: version.stamp)
    }
}

extension ObjectKind {
    fileprivate var rank: Int {
        switch self {
        case .directory: 0
        case .file: 1
        case .symlink: 2
        case .fifo, .socket, .characterDevice, .blockDevice: 3
        }
    }
}
