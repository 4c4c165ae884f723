import Base
import FileTree

/// Settling conflicts, by operations like any other: a version whose parents are the heads that it
/// settles, the removal of a name, or a name of its own for each.
extension Engine {
    /// What a conflict is settled with.
    enum Settlement {
        case keep(Contest.Contender)
        case keepAll
        /// A version made of the others.
        case merge(Operation.Write)
    }

    /// The contender that a person means.
    func contender(_ wanted: Resolution, in contest: Contest) throws(ResolutionError)
        -> Contest.Contender
    {
        let found = contest.contenders.filter { contender in
            let operation = contender.stamp.operation
            return switch wanted {
            case .ours: isOwn(operation.writer)
            case .theirs: !isOwn(operation.writer)
            case .version(let text):
                OperationName.matches(text, operation, writers)
                    || deviceName(of: operation.writer) == text
            case .both: false
            }
        }
        if let only = found.first, found.count == 1 { return only }
        let words =
            switch wanted {
            case .ours: "by this device"
            case .theirs: "by another device"
            case .version(let text): "\"\(text)\""
            case .both: "both"
            }
        throw .notOne(
            wanted: words, found: found.count,
            versions: contest.contenders.map {
                let operation = $0.stamp.operation
                return "\(OperationName.text(of: operation, writers)) "
                    + "(\(deviceName(of: operation.writer)))"
            })
    }

    /// - Parameter seen: the operations of the contenders that the person was shown: only these are
    ///   settled; nil for all.
    mutating func settle(_ contest: Contest, _ settlement: Settlement, seen: Set<OperationID>?)
        throws(ResolutionError)
    {
        let contenders = contest.contenders.filter { contender in
            seen.map { $0.contains(contender.stamp.operation) } ?? true
        }
        do {
            switch settlement {
            case .keepAll: try keepAll(contenders, in: contest)
            case .keep(let kept):
                try requireNoFolder(contenders.filter { $0.entry != kept.entry })
                try keep(kept, of: contenders, in: contest.directory)
                // Nobody may have the name: it gets the one it shows.
                if contest.isReserved {
                    let named = contenders.filter { $0.entry == kept.entry && !$0.isCopy }
                    try keepAll(named, in: contest)
                }
            case .merge(let write):
                try requireNoFolder(contenders)
                guard contenders.allSatisfy({ $0.kind == .file }),
                    let target = contenders.first
                else { throw ResolutionError.notFiles }
                try succeed(target, of: contenders, with: write)
                try removeOthers(target.entry, of: contenders, in: contest.directory)
            }
        } catch let error as ResolutionError {
            throw error
        } catch let error as VolumeError {
            throw .volume(error)
        } catch {
            throw .noConflict
        }
    }

    private func requireNoFolder(_ removed: [Contest.Contender]) throws(ResolutionError) {
        guard removed.allSatisfy({ $0.kind != .directory }) else { throw .folder }
    }

    private mutating func keep(
        _ kept: Contest.Contender, of contenders: [Contest.Contender], in directory: ObjectID
    ) throws(VolumeError) {
        let ofEntry = contenders.filter { $0.entry == kept.entry }
        if ofEntry.count > 1, let version = kept.version {
            try succeed(
                kept, of: contenders,
                with: .init(
                    object: kept.object, parents: [], size: version.size,
                    modified: version.modified, content: version.content))
        }
        try removeOthers(kept.entry, of: contenders, in: directory)
    }

    /// Writes a version whose parents are all heads of the contender's file that were seen.
    private mutating func succeed(
        _ contender: Contest.Contender, of contenders: [Contest.Contender],
        with write: Operation.Write
    ) throws(VolumeError) {
        let entry = contender.entry
        let heads = contenders.filter { $0.object == contender.object }.flatMap(\.versions)
        let twins = try Self.stored { () throws(StorageError) in try tree.twins(of: entry) }
        var write = write
        write.object = contender.object
        write.parents = Array(heads.prefix(FileTreeLimits.parentsMax))
        try author(.write(write))
        // There may be more than one version can succeed.
        for version in heads.dropFirst(FileTreeLimits.parentsMax) {
            guard let from = try shownParent(of: entry) else { continue }
            try author(.remove(.init(entry, from: from, version: version)))
        }
        for twin in twins {
            guard let from = twin.shownParent else { continue }
            try author(.remove(.init(twin.id, from: from)))
        }
    }

    /// Takes the name from all entries but one, and from those that are hidden behind them.
    private mutating func removeOthers(
        _ kept: EntryID, of contenders: [Contest.Contender], in directory: ObjectID
    ) throws(VolumeError) {
        var removed: Set<EntryID> = []
        for contender in contenders
        where contender.entry != kept && removed.insert(contender.entry).inserted {
            let twins = try Self.stored { () throws(StorageError) in
                try tree.twins(of: contender.entry)
            }
            try author(.remove(.init(contender.entry, from: directory)))
            for twin in twins where twin.id != kept && removed.insert(twin.id).inserted {
                try author(.remove(.init(twin.id, from: directory)))
            }
        }
    }

    /// Gives each loser the name it shows under, for good.
    private mutating func keepAll(_ contenders: [Contest.Contender], in contest: Contest)
        throws
    {
        guard contenders.allSatisfy(\.isRendered) else { throw ResolutionError.hidden }
        // Copies first: their file may be about to get another name.
        for contender in contenders where contender.isCopy {
            guard let name = contender.shownName else { continue }
            try detach(
                Node(
                    id: contender.node, object: contender.object, entry: contender.entry,
                    kind: .file), to: (contest.directory, name))
        }
        for contender in contenders where !contender.isCopy {
            guard let name = contender.shownName else { continue }
            let node = Node(
                id: contender.object, object: contender.object, entry: contender.entry,
                kind: contender.kind)
            _ = try move(node, from: contest.directory, to: contest.directory, as: name)
        }
    }

    private func shownParent(of entry: EntryID) throws(VolumeError) -> ObjectID? {
        try Self.stored { () throws(StorageError) in try storage.entry(entry) }?.shownParent
    }
}
