import Base

/// What each operation does to the rows it names. All rules are checked before anything changes, and depend
/// only on what the operation had seen: every device refuses the same ones.
extension FileTree {
    /// - Returns: false if the operation was refused.
    func apply(_ operation: Operation, _ context: OperationContext) throws(StorageError) -> Bool {
        guard operation.isWellFormed else { return false }
        if try applyKnown(operation, context) { return true }
        // What is dead for ever has no row to change.
        for id in operation.references where context.sees(id) {
            if try isForgotten(id) { return true }
        }
        return false
    }

    /// Whether an identity is of the settled past and has no row any more: whatever names it does nothing.
    func isForgotten(_ id: OperationID) throws(StorageError) -> Bool {
        guard id != .root, state.forgotten.covers(id) else { return false }
        if try object(id) != nil { return false }
        if try entry(id) != nil { return false }
        return try storage.version(id) == nil
    }

    private func applyKnown(_ operation: Operation, _ context: OperationContext)
        throws(StorageError) -> Bool
    {
        switch operation {
        case .make(let make): return try apply(make, context)
        case .place(let place): return try apply(place, context)
        case .remove(let remove): return try apply(remove, context)
        case .write(let write): return try apply(write, context)
        case .setAttribute(let change): return try apply(change, context)
        case .setXattr(let xattr):
            return try setXattr(xattr.name, of: xattr.object, to: xattr.value, context)
        case .removeXattr(let xattr):
            return try setXattr(xattr.name, of: xattr.object, to: nil, context)
        case .set(let setting):
            apply(setting, context)
            return true
        case .admit, .retire, .revoke, .invite, .checkpoint:
            return true
        }
    }

    private func apply(_ setting: Operation.Setting, _ context: OperationContext) {
        guard setting.key == Self.mergeRulesSetting else { return }
        let before = mergeRules
        let number = String(decoding: setting.value, as: UTF8.self)
        // What is no number is some later release's way to name its rules.
        set(&state.mergeRules, to: number.isEmpty ? 0 : UInt64(number) ?? .max, context)
        if mergeRules != before { mergeRulesChanged = true }
    }

    // MARK: References

    /// An object that the author had seen.
    private func object(_ id: ObjectID, seenBy context: OperationContext) throws(StorageError)
        -> Held<ObjectRow>?
    {
        guard context.sees(id), let object = try object(id), context.isAfter(object.row.made)
        else { return nil }
        return object
    }

    /// A directory that has its place in the tree.
    private func directory(_ id: ObjectID, seenBy context: OperationContext)
        throws(StorageError) -> Held<ObjectRow>?
    {
        guard let object = try object(id, seenBy: context), object.row.kind == .directory,
            id == .root || object.row.entry != nil
        else { return nil }
        return object
    }

    private func entry(_ id: EntryID, seenBy context: OperationContext) throws(StorageError)
        -> (entry: HeldEntry, object: Held<ObjectRow>)?
    {
        guard context.sees(id), let entry = try entry(id),
            let object = try object(entry.row.object, seenBy: context)
        else { return nil }
        return (entry, object)
    }

    // MARK: Tree

    private func apply(_ make: Operation.Make, _ context: OperationContext)
        throws(StorageError) -> Bool
    {
        let row = ObjectRow(
            id: context.id, kind: make.kind, made: context.stamp, created: make.created,
            device: make.device, target: make.target, mode: make.mode, uid: make.uid,
            gid: make.gid)
        held.hold(Held(new: row))
        return true
    }

    private func apply(_ place: Operation.Place, _ context: OperationContext)
        throws(StorageError) -> Bool
    {
        guard let parent = try directory(place.parent, seenBy: context) else { return false }
        switch place.subject {
        case .new(let id):
            guard let object = try object(id, seenBy: context), id != .root else { return false }
            return placeNew(object, in: parent, named: place.name, context)
        case .existing(let id, let from):
            guard let (entry, object) = try entry(id, seenBy: context),
                let from = try directory(from, seenBy: context)
            else { return false }
            replace(entry, in: parent, named: place.name, context)
            touchListing(of: parent, context)
            touchListing(of: from, context)
            touch(object, context)
            return true
        }
    }

    private func placeNew(
        _ object: Held<ObjectRow>, in parent: Held<ObjectRow>, named name: [UInt8],
        _ context: OperationContext
    ) -> Bool {
        if object.row.kind == .directory {
            // One entry a directory, placed where it was made and before anything can be placed in it:
            // so no first placement closes a ring, and moves alone need the order of all devices.
            guard object.row.id.sharesBlock(with: context.id), object.row.entry == nil else {
                return false
            }
            object.row.entry = context.id
        }
        let placement = Placement(parent: parent.row.id, name: name, stamp: context.stamp)
        var row = EntryRow(
            id: context.id, object: object.row.id, kind: object.row.kind, placement: placement)
        row.number = object.row.number
        held.hold(HeldEntry(new: row))
        touchListing(of: parent, context)
        touch(object, context)
        return true
    }

    private func replace(
        _ entry: HeldEntry, in parent: Held<ObjectRow>, named name: [UInt8],
        _ context: OperationContext
    ) {
        entry.row.lives.removeAll(where: context.sees)
        entry.row.lives.append(context.id)
        // No removal can have seen this placement: blocks come in causal order.
        setRemovals(of: entry, to: [])
        if entry.row.kind == .directory {
            pendingMoves.append(
                MoveRow(
                    id: context.id, time: context.stamp.time, entry: entry.row.id,
                    parent: parent.row.id, name: name, previous: nil))
        } else if writers.precedes(entry.row.placement.stamp, context.stamp) {
            entry.row.placement = Placement(
                parent: parent.row.id, name: name, stamp: context.stamp)
        }
    }

    private func apply(_ remove: Operation.Remove, _ context: OperationContext)
        throws(StorageError) -> Bool
    {
        guard let (entry, object) = try entry(remove.entry, seenBy: context),
            let from = try directory(remove.from, seenBy: context)
        else { return false }
        if let version = remove.version {
            guard try close(version, of: object, context) else { return false }
        } else if try hasSeenLife(of: entry, object, context) {
            // An earlier removal that this author had seen is in force whenever this one is.
            if !entry.row.removals.contains(where: context.sees) {
                var removals = entry.row.removals
                removals.append(context.id)
                setRemovals(of: entry, to: removals)
            }
        }
        touchListing(of: from, context)
        touch(object, context)
        return true
    }

    /// Whether the author had seen every placement of the entry and every version of its object. Versions
    /// that had seen the removal come later, and leave it in force.
    private func hasSeenLife(
        of entry: HeldEntry, _ object: Held<ObjectRow>, _ context: OperationContext
    ) throws(StorageError) -> Bool {
        guard entry.row.lives.allSatisfy(context.sees) else { return false }
        // Who has seen the heads has seen their ancestors.
        guard object.row.heads > 1 else {
            return object.row.winner.map { context.sees($0.version) } ?? true
        }
        return try storage.heads(of: object.row.id).allSatisfy { context.sees($0.id) }
    }

    private func setRemovals(of entry: HeldEntry, to removals: OperationList) {
        guard entry.row.removals != removals else { return }
        let wasDead = entry.row.isDead
        entry.row.removals = removals
        guard wasDead != entry.row.isDead, let object = held.object(entry.row.object) else {
            return
        }
        object.row.removedEntries =
            entry.row.isDead ? object.row.removedEntries + 1 : object.row.removedEntries - 1
    }

    // MARK: Content

    private func apply(_ write: Operation.Write, _ context: OperationContext)
        throws(StorageError) -> Bool
    {
        guard let object = try object(write.object, seenBy: context), object.row.kind == .file
        else { return false }
        var parents: [VersionRow] = []
        var unknown: [VersionID] = []
        var lineage = VersionRow.Lineage.whole
        for id in write.parents {
            guard context.sees(id) else { return false }
            guard let parent = try storage.version(id), parent.object == write.object,
                context.isAfter(parent.stamp)
            else {
                // It was succeeded long ago. Or the author has another history of its log, where it is a version of
                // this file: bytes are not refused for that.
                if try !isForgotten(id) { unknown.append(id) }
                lineage = .cut
                continue
            }
            if parent.lineage != .whole, lineage == .whole { lineage = .behindCut }
            if !parent.isHead, try isLongSucceeded(parent, context) { lineage = .cut }
            parents.append(parent)
        }
        if write.parents.isEmpty, object.row.heads > 0,
            try hasLongBeenWritten(write.object, context)
        {
            lineage = .cut
        }

        let before = try shownVersions(of: object)
        for var parent in parents where parent.isHead {
            parent.isHead = false
            object.row.heads -= 1
            try put(parent)
        }
        var version = VersionRow(
            id: context.id, object: write.object, time: context.stamp.time,
            parents: write.parents.filter { !unknown.contains($0) }, size: write.size,
            modified: write.modified, content: write.content)
        version.lineage = lineage
        try put(version)
        object.row.heads += 1
        if object.row.heads == 1 {
            show([version], of: object, instead: before)
        } else {
            try showHeads(of: object, instead: before)
        }
        touch(object, context)

        // Removals that had not seen this version no longer hold, unless it had seen them.
        if object.row.removedEntries > 0 {
            for entry in try heldEntries(of: write.object) where entry.row.isDead {
                setRemovals(
                    of: entry, to: OperationList(entry.row.removals.filter(context.sees)))
            }
        }
        return true
    }

    /// Whether the author had long seen that a version was succeeded. If so, no device needs to have it; of a
    /// version that is not settled anywhere it is never so (`SettledHistory`).
    private func isLongSucceeded(_ version: VersionRow, _ context: OperationContext)
        throws(StorageError) -> Bool
    {
        guard isLongAgo(version.time, context) else { return false }
        return try storage.versions(of: version.object).contains { other in
            other.parents.contains(version.id) && context.sees(other.id)
                && isLongAgo(other.time, context)
        }
    }

    /// The same of the empty file that was there before any version.
    private func hasLongBeenWritten(_ object: ObjectID, _ context: OperationContext)
        throws(StorageError) -> Bool
    {
        try storage.versions(of: object).contains {
            context.sees($0.id) && isLongAgo($0.time, context)
        }
    }

    private func isLongAgo(_ time: HybridTime, _ context: OperationContext) -> Bool {
        let now = context.stamp.time.rawValue
        return now > time.rawValue && now - time.rawValue > settlesAfter
    }

    /// Takes a head out of what shows: "remove this conflict copy".
    private func close(
        _ id: VersionID, of object: Held<ObjectRow>, _ context: OperationContext
    ) throws(StorageError) -> Bool {
        guard context.sees(id) else { return false }
        // Succeeded long ago: it shows nowhere.
        guard var version = try storage.version(id) else { return try isForgotten(id) }
        guard version.object == object.row.id, context.isAfter(version.stamp) else { return false }
        guard !version.isClosed else { return true }
        let before = try shownVersions(of: object)
        version.isClosed = true
        try put(version)
        try showHeads(of: object, instead: before)
        return true
    }

    private func shownVersions(of object: Held<ObjectRow>) throws(StorageError) -> [VersionID] {
        guard object.row.heads > 1 else { return object.row.winner.map { [$0.version] } ?? [] }
        return ShownHeads(try storage.heads(of: object.row.id), nil, writers: writers)
            .items.map(\.version.id)
    }

    func showHeads(of object: Held<ObjectRow>, instead before: [VersionID])
        throws(StorageError)
    {
        let heads = try storage.heads(of: object.row.id)
        show(
            ShownHeads(heads, nil, writers: writers).items.map(\.version), of: object,
            instead: before)
    }

    /// The digest has what would show without merging: it must not depend on which bytes are here. What does
    /// show of several heads is settled with the merge.
    ///
    /// - Parameter versions: the file itself first, then its copies.
    private func show(
        _ versions: [VersionRow], of object: Held<ObjectRow>, instead before: [VersionID]
    ) {
        let id = object.row.id
        for version in before { object.row.details -= hasher.head(version, of: id) }
        for version in versions { object.row.details += hasher.head(version.id, of: id) }
        object.row.shownHeads = UInt64(versions.count)
        object.row.winner = versions.first.map {
            ObjectRow.Winner(stamp: $0.stamp, size: $0.size, modified: $0.modified)
        }
    }

    // MARK: Attributes

    private func apply(_ change: Operation.SetAttribute, _ context: OperationContext)
        throws(StorageError) -> Bool
    {
        guard let object = try object(change.object, seenBy: context) else { return false }
        if let mode = change.mode { set(&object.row.mode, to: mode, context) }
        if let uid = change.uid { set(&object.row.uid, to: uid, context) }
        if let gid = change.gid { set(&object.row.gid, to: gid, context) }
        if let modified = change.modified { set(&object.row.modified, to: modified, context) }
        if let accessed = change.accessed { set(&object.row.accessed, to: accessed, context) }
        touch(object, context)
        return true
    }

    private func setXattr(
        _ name: [UInt8], of id: ObjectID, to value: [UInt8]?, _ context: OperationContext
    ) throws(StorageError) -> Bool {
        guard let object = try object(id, seenBy: context) else { return false }
        let old = try storage.xattr(name, of: id)
        touch(object, context)
        if let old, !writers.precedes(old.stamp, context.stamp) { return true }
        if let before = old?.value {
            object.row.details -= hasher.xattr(name, value: before, of: id)
        }
        if let value { object.row.details += hasher.xattr(name, value: value, of: id) }
        try put(XattrRow(object: id, name: name, value: value, stamp: context.stamp))
        return true
    }

    private func set<Value>(
        _ register: inout Register<Value>, to value: Value, _ context: OperationContext
    ) {
        if writers.precedes(register.stamp, context.stamp) {
            register = Register(value, at: context.stamp)
        }
    }

    private func touch(_ object: Held<ObjectRow>, _ context: OperationContext) {
        if writers.precedes(object.row.changed, context.stamp) {
            object.row.changed = context.stamp
        }
    }

    /// A directory gains, loses or renames an entry.
    private func touchListing(of directory: Held<ObjectRow>, _ context: OperationContext) {
        // Not to before it was made.
        let now = context.stamp.timestamp(notBefore: directory.row.created)
        set(&directory.row.modified, to: now, context)
        touch(directory, context)
    }
}
