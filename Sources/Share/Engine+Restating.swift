import Base
import Chunks
import FileTree

/// Writing again what was written without knowing what is here now. The blocks cannot stay as they were: what they are
/// concurrent with may be settled (``SettledHistory``), and nothing concurrent with that may come any more. So each
/// operation is written anew, by a device that has seen everything, if it still means something:
///
/// - a save is a version beside what others made of the file, or after it if they did nothing. A file that is gone
///   is made again, and so are directories that it needs;
/// - what sets a register (a place, a mode, an attribute) holds unless somebody has set it later;
/// - a removal holds unless somebody has written or placed what it had not seen.
extension Engine {
    /// Nothing is committed. The view has all that is known of the others.
    mutating func restate(_ blocks: [Block], _ restating: inout Restating) throws(StorageError) {
        for (offset, block) in blocks.enumerated() {
            var seen = block.clock
            if restating.now != restating.from { seen[restating.now] = restating.common }
            for (index, operation) in block.operations.enumerated() {
                guard let operation, !restating.isDangling(operation) else { continue }
                let old = OperationID(
                    writer: restating.from, block: restating.common + UInt64(offset), index: index)
                let context = Context(time: block.time, seen: seen)
                if let new = try restate(operation, context, &restating) {
                    restating.moved[old] = new
                }
            }
        }
    }

    /// What the author of a block knew.
    private struct Context {
        let time: HybridTime
        let seen: Clock
    }

    /// - Returns: nil if it means nothing any more.
    private mutating func restate(
        _ operation: Operation, _ context: Context, _ restating: inout Restating
    ) throws(StorageError) -> OperationID? {
        switch operation {
        case .make: return try authorAgain(operation)
        case .place(let place): return try restate(place, context, &restating)
        case .remove(let remove): return try restate(remove, context, &restating)
        case .write(let write): return try restate(write, &restating)
        case .setAttribute(var change):
            change.object = restating.current(change.object)
            guard let row = try tree.objectRow(change.object) else { return nil }
            func isOld(_ stamp: Stamp) -> Bool { hasBeenSet(stamp, since: context) }
            if isOld(row.mode.stamp) { change.mode = nil }
            if isOld(row.uid.stamp) { change.uid = nil }
            if isOld(row.gid.stamp) { change.gid = nil }
            if isOld(row.modified.stamp) { change.modified = nil }
            if isOld(row.accessed.stamp) { change.accessed = nil }
            guard change != .init(object: change.object) else { return nil }
            return try authorAgain(.setAttribute(change))
        case .setXattr(let xattr):
            let object = restating.current(xattr.object)
            guard try mayRestate(xattr.name, of: object, context) else { return nil }
            return try authorAgain(
                .setXattr(.init(object: object, name: xattr.name, value: xattr.value)))
        case .removeXattr(let xattr):
            let object = restating.current(xattr.object)
            guard try mayRestate(xattr.name, of: object, context) else { return nil }
            return try authorAgain(.removeXattr(.init(object: object, name: xattr.name)))
        case .set(let setting):
            guard settings.time(of: setting.key) <= context.time.rawValue else { return nil }
            return try authorAgain(operation)
        case .revoke(var revoke):
            // As it would be written now: nothing that was taken meanwhile is taken back.
            let log = membership.member(device: revoke.device).flatMap { writers.slot(of: $0.log) }
            revoke.length = max(revoke.length, log.flatMap { applied[$0] } ?? 0)
            return try authorAgain(.revoke(revoke))
        case .admit, .retire, .invite: return try authorAgain(operation)
        case .checkpoint: return nil
        }
    }

    // MARK: The tree

    private mutating func restate(
        _ place: Operation.Place, _ context: Context, _ restating: inout Restating
    ) throws(StorageError) -> OperationID? {
        switch place.subject {
        case .new(let object):
            let parent = try home(place.parent, &restating)
            guard let object = try existing(object, withContent: true, &restating) else {
                return nil
            }
            return try authorAgain(.place(.init(.new(object), in: parent, named: place.name)))
        case .existing(let entry, let from):
            var now = restating.current(entry)
            if let object = restating.former.objects[entry] {
                guard try existing(object, withContent: true, &restating) != nil else {
                    return nil
                }
                now = restating.current(entry)
            }
            guard let row = try tree.entryRow(now), try !isGone(row.object) else { return nil }
            // Of two places the later holds; a removal that did not know of this one does not.
            if !row.isDead, hasBeenSet(row.placement.stamp, since: context) { return nil }
            let parent = try home(place.parent, &restating)
            if row.isDead, !row.removals.contains(where: { $0.writer == ownSlot }) {
                // Another name of a file that has one: where the removal is settled this one is dead for ever.
                let new = try authorAgain(
                    .place(.init(.new(row.object), in: parent, named: place.name)))
                restating.moved[entry] = new
                return new
            }
            let before = try formerHome(from, restating)
            return try authorAgain(
                .place(.init(.existing(now, from: before), in: parent, named: place.name)))
        }
    }

    private mutating func restate(
        _ remove: Operation.Remove, _ context: Context, _ restating: inout Restating
    ) throws(StorageError) -> OperationID? {
        let entry = restating.current(remove.entry)
        guard let row = try tree.entryRow(entry), !row.isDead else { return nil }
        let from = try formerHome(remove.from, restating)
        if let version = remove.version.map(restating.current) {
            guard try tree.hasVersion(version) else { return nil }
            return try authorAgain(.remove(.init(entry, from: from, version: version)))
        }
        func knew(_ id: OperationID) -> Bool {
            id.writer == ownSlot || context.seen.covers(id)
        }
        guard row.lives.allSatisfy(knew), try tree.headIDs(of: row.object).allSatisfy(knew) else {
            return nil
        }
        return try authorAgain(.remove(.init(entry, from: from)))
    }

    private mutating func restate(_ write: Operation.Write, _ restating: inout Restating)
        throws(StorageError) -> OperationID?
    {
        guard let object = try existing(write.object, withContent: false, &restating) else {
            return nil
        }
        var new = write
        new.object = object
        new.parents = []
        // Of a file that was made again one that is gone never was a version: members who still have it refuse that.
        let isSame = restating.moved[write.object] == nil
        for parent in write.parents.map(restating.current) where !new.parents.contains(parent) {
            // One that is settled and gone says that this is beside what came after it.
            if try tree.isVersion(parent, of: object, orForgotten: isSame) {
                new.parents.append(parent)
            }
        }
        return try authorAgain(.write(new))
    }

    // MARK: What is gone

    /// The directory, or its like.
    private mutating func home(_ directory: ObjectID, _ restating: inout Restating)
        throws(StorageError) -> ObjectID
    {
        var missing: [ObjectID] = []
        var current = directory
        while try !isDirectory(restating.current(current)) {
            guard let thing = restating.former.things[current], thing.row.kind == .directory,
                let entry = thing.entry, missing.count < FileTreeLimits.pathDepthMax
            else {
                current = .root
                break
            }
            missing.append(current)
            current = entry.placement.parent
        }
        var home = restating.current(current)
        for id in missing.reversed() {
            guard let thing = restating.former.things[id],
                let made = try remake(id, thing, in: home, &restating)
            else { continue }
            home = made
        }
        return home
    }

    /// Where something was: only for the time at which that changed.
    private func formerHome(_ directory: ObjectID, _ restating: Restating) throws(StorageError)
        -> ObjectID
    {
        let now = restating.current(directory)
        return try isDirectory(now) ? now : .root
    }

    private func isDirectory(_ id: ObjectID) throws(StorageError) -> Bool {
        guard id != .root else { return true }
        guard let row = try tree.objectRow(id), row.kind == .directory, row.entry != nil else {
            return false
        }
        return try !isGone(id)
    }

    /// Whether a thing is not there, or was removed elsewhere, by somebody who had seen what others made of it: its
    /// bytes may be nobody's any more, and are not to show again with what was done to it here; and where that is
    /// settled it is dead for ever, so that what names it does nothing.
    private func isGone(_ id: ObjectID) throws(StorageError) -> Bool {
        guard let row = try tree.objectRow(id) else { return true }
        guard row.links == 0 else { return false }
        // What was removed here is put back as what it was.
        return try !tree.allEntries(of: id).contains { entry in
            entry.removals.contains { $0.writer == ownSlot }
        }
    }

    /// The object, or its like if it is gone.
    private mutating func existing(
        _ object: ObjectID, withContent: Bool, _ restating: inout Restating
    ) throws(StorageError) -> ObjectID? {
        // What has just been made has no row before it has a name.
        if let made = restating.moved[object] { return made }
        let now = restating.current(object)
        if try !isGone(now) { return now }
        guard let thing = restating.former.things[object], let entry = thing.entry else {
            return nil
        }
        let parent = try home(entry.placement.parent, &restating)
        guard let made = try remake(object, thing, in: parent, &restating) else { return nil }
        guard withContent, let content = thing.content, !content.content.isEmpty else {
            return made
        }
        let write = try authorAgain(
            .write(
                .init(
                    object: made, parents: [], size: content.size, modified: content.modified,
                    content: content.content)))
        for version in thing.versions { restating.moved[version] = write }
        return made
    }

    private mutating func remake(
        _ id: ObjectID, _ thing: FormerPlaces.Thing, in parent: ObjectID,
        _ restating: inout Restating
    ) throws(StorageError) -> ObjectID? {
        guard let entry = thing.entry else { return nil }
        let row = thing.row
        let made = try authorAgain(
            .make(
                .init(
                    kind: row.kind, mode: row.mode.value, uid: row.uid.value, gid: row.gid.value,
                    created: row.created, device: row.device, target: row.target)))
        guard let made else { return nil }
        let placed = try authorAgain(
            .place(.init(.new(made), in: parent, named: entry.placement.name)))
        guard let placed else { return nil }
        restating.moved[id] = made
        restating.moved[entry.id] = placed
        for xattr in thing.xattrs {
            guard let value = xattr.value else { continue }
            _ = try authorAgain(.setXattr(.init(object: made, name: xattr.name, value: value)))
        }
        return made
    }

    // MARK: Registers

    /// Whether somebody has set a register later than the block was written, without its author knowing.
    private func hasBeenSet(_ stamp: Stamp, since context: Context) -> Bool {
        stamp.operation.writer != ownSlot && stamp.time > context.time
            && !context.seen.covers(stamp.operation)
    }

    private func mayRestate(_ name: [UInt8], of object: ObjectID, _ context: Context)
        throws(StorageError) -> Bool
    {
        guard try tree.objectRow(object) != nil else { return false }
        return try tree.xattrRows(of: object).first { $0.name == name }
            .map { !hasBeenSet($0.stamp, since: context) } ?? true
    }

    // MARK: Writing

    /// - Returns: nil if it breaks a rule here.
    private mutating func authorAgain(_ operation: Operation) throws(StorageError) -> OperationID? {
        // All of it is one transaction: no block may be committed before the last.
        if isBlockFull, !isBound(operation) { try sealEarly() }
        let id: OperationID
        do throws(VolumeError) {
            id = try author(operation)
        } catch {
            guard case .storage(let error) = error else { return nil }
            throw error
        }
        // What a file held that is made again may be on its way here still.
        if case .write(let write) = operation, let content = try? Content(decoding: write.content) {
            try want(content.pieces)
        }
        return id
    }
}
