package import Base
internal import Crypto
internal import FileTree

/// The view from scratch: every rule of the merge table as it is written down, over all operations at
/// once, sorted. Slow on purpose, and shares with the tree nothing but the shapes of operations.
package struct NaiveTree {
    struct Entry {
        var object: OperationID
        var places: [(stamp: Stamp, parent: OperationID, name: [UInt8])] = []
        var removals: [OperationID] = []
        // Where it is in the end.
        var parent: OperationID = .root
        var name: [UInt8] = []
        var placed: Stamp = .root
    }

    struct Version {
        var object: OperationID
        var stamp: Stamp
        var write: Operation.Write
        var hasChild = false
        var isClosed = false
        /// Saved over what had long been succeeded, as its author knew: what came before it counts nowhere.
        var isCut = false
        /// Whether it descends from such a one.
        var isBehindCut = false
        var key: [UInt8] { write.size == 0 ? [] : Array("\(write.size):".utf8) + write.content }
    }

    struct Object {
        var made: Stamp
        var make: Operation.Make
        var mode: (UInt16, Stamp)
        var uid: (UInt32, Stamp)
        var gid: (UInt32, Stamp)
        var modified: (Timestamp, Stamp)
        var accessed: (Timestamp, Stamp)
        var changed: Stamp
        var xattrs: [[UInt8]: (value: [UInt8]?, stamp: Stamp)] = [:]
    }

    let writers: WriterTable
    let names: [Bytes32: String]
    /// What each block had seen, its own log up to and without itself.
    var seen: [OperationID: Clock] = [:]
    var objects: [OperationID: Object] = [:]
    var entries: [OperationID: Entry] = [:]
    var versions: [OperationID: Version] = [:]
    package private(set) var refused = 0
    /// As the share's settings name them.
    var mergeRules = 0
    let text: NaiveText
    let settlesAfter: UInt64

    // MARK: All operations

    /// - Parameters:
    ///   - logs: encoded blocks, each log's from its first on; in any order of logs.
    ///   - cuts: how many blocks of a log count, if not all.
    ///   - names: what conflict names call a writer; its key's first digits if it has none.
    ///   - text: what the contents of versions mean.
    ///   - settlesAfter: in milliseconds.
    /// - Throws: what the block codec throws.
    package init(
        _ logs: [(key: Bytes32, blocks: [[UInt8]])], cuts: [Bytes32: Int] = [:],
        names: [Bytes32: String] = [:],
        text: NaiveText = .plain, settlesAfter: UInt64 = 7 * 24 * 3600 * 1000
    ) throws {
        self.text = text
        self.settlesAfter = settlesAfter << 16
        writers = WriterTable()
        self.names = names
        let root = Operation.Make(
            kind: .directory, mode: 0o755, uid: 0, gid: 0, created: .epoch)
        objects[.root] = Self.object(root, at: .root)

        var operations: [(stamp: Stamp, operation: Operation?)] = []
        for log in logs {
            let slot = writers.insert(log.key)!
            var codec = BlockCodec(writer: slot)
            for (number, bytes) in log.blocks.enumerated() {
                let block = try codec.decode(bytes.span, writers: writers)
                if number >= cuts[log.key] ?? .max { continue }
                let id = OperationID(writer: slot, block: UInt64(number), index: 0)
                seen[id] = block.clock
                for (index, operation) in block.operations.enumerated() {
                    let id = OperationID(writer: slot, block: UInt64(number), index: index)
                    operations.append((Stamp(time: block.time, operation: id), operation))
                }
            }
        }
        for index in operations.indices {
            guard case .write(var write) = operations[index].operation else { continue }
            write.parents.removeAll { parent in
                Int(parent.block) >= cuts[writers.key(of: parent.writer)] ?? .max
            }
            operations[index].operation = .write(write)
        }
        operations.sort { isBefore($0.stamp, $1.stamp) }
        for (stamp, operation) in operations {
            if let operation, run(operation, at: stamp) { continue }
            refused += 1
        }
        placeEntries()
    }

    private static func object(_ make: Operation.Make, at stamp: Stamp) -> Object {
        Object(
            made: stamp, make: make, mode: (make.mode, stamp), uid: (make.uid, stamp),
            gid: (make.gid, stamp), modified: (make.created, stamp),
            accessed: (make.created, stamp), changed: stamp)
    }

    func isBefore(_ left: Stamp, _ right: Stamp) -> Bool {
        if left.time != right.time { return left.time < right.time }
        let keys = (
            writers.key(of: left.operation.writer), writers.key(of: right.operation.writer)
        )
        if keys.0 != keys.1 { return keys.0 < keys.1 }
        if left.operation.block != right.operation.block {
            return left.operation.block < right.operation.block
        }
        return left.operation.index < right.operation.index
    }

    func sees(_ viewer: OperationID, _ other: OperationID) -> Bool {
        if other == .root { return true }
        if viewer.writer == other.writer {
            return other.block < viewer.block
                || other.block == viewer.block && other.index < viewer.index
        }
        let block = OperationID(writer: viewer.writer, block: viewer.block, index: 0)
        return seen[block]![other.writer] > other.block
    }

    // MARK: One operation, everything before it in the order having run

    private mutating func run(_ operation: Operation, at stamp: Stamp) -> Bool {
        let id = stamp.operation
        func isDirectory(_ directory: OperationID) -> Bool {
            guard sees(id, directory), objects[directory]?.make.kind == .directory else {
                return false
            }
            return directory == .root || entries.values.contains { $0.object == directory }
        }
        switch operation {
        case .make(let make): objects[id] = Self.object(make, at: stamp)
        case .place(let place):
            guard isDirectory(place.parent) else { return false }
            switch place.subject {
            case .new(let object):
                guard sees(id, object), let made = objects[object], object != .root else {
                    return false
                }
                if made.make.kind == .directory {
                    let isPlaced = entries.values.contains { $0.object == object }
                    guard object.sharesBlock(with: id), !isPlaced else { return false }
                }
                entries[id] = Entry(object: object)
                entries[id]!.places.append((stamp, place.parent, place.name))
                touch(object, stamp)
            case .existing(let entry, let from):
                guard sees(id, entry), entries[entry] != nil, isDirectory(from) else {
                    return false
                }
                entries[entry]!.places.append((stamp, place.parent, place.name))
                touchListing(from, stamp)
                touch(entries[entry]!.object, stamp)
            }
            touchListing(place.parent, stamp)
        case .remove(let remove):
            guard sees(id, remove.entry), let entry = entries[remove.entry],
                isDirectory(remove.from)
            else { return false }
            if let version = remove.version {
                guard sees(id, version), versions[version]?.object == entry.object else {
                    return false
                }
                versions[version]!.isClosed = true
            } else {
                entries[remove.entry]!.removals.append(id)
            }
            touchListing(remove.from, stamp)
            touch(entry.object, stamp)
        case .write(var write):
            guard sees(id, write.object), objects[write.object]?.make.kind == .file,
                write.parents.allSatisfy({ sees(id, $0) })
            else { return false }
            let named = write.parents.count
            write.parents.removeAll { versions[$0]?.object != write.object }
            let knowsAll = write.parents.count == named
            var version = Version(object: write.object, stamp: stamp, write: write)
            let known = versions.filter { other, version in
                version.object == write.object && sees(id, other)
                    && stamp.time.rawValue > version.stamp.time.rawValue + settlesAfter
            }
            version.isCut =
                !knowsAll
                || (write.parents.isEmpty
                    ? !known.isEmpty
                    : write.parents.contains { parent in
                        known.values.contains { $0.write.parents.contains(parent) }
                    })
            for parent in write.parents {
                versions[parent]!.hasChild = true
                if versions[parent]!.isCut || versions[parent]!.isBehindCut {
                    version.isBehindCut = true
                }
            }
            versions[id] = version
            touch(write.object, stamp)
        case .setAttribute(let change):
            guard sees(id, change.object), objects[change.object] != nil else { return false }
            if let mode = change.mode { objects[change.object]!.mode = (mode, stamp) }
            if let uid = change.uid { objects[change.object]!.uid = (uid, stamp) }
            if let gid = change.gid { objects[change.object]!.gid = (gid, stamp) }
            if let time = change.modified { objects[change.object]!.modified = (time, stamp) }
            if let time = change.accessed { objects[change.object]!.accessed = (time, stamp) }
            touch(change.object, stamp)
        case .setXattr(let xattr):
            guard sees(id, xattr.object), objects[xattr.object] != nil else { return false }
            objects[xattr.object]!.xattrs[xattr.name] = (xattr.value, stamp)
            touch(xattr.object, stamp)
        case .removeXattr(let xattr):
            guard sees(id, xattr.object), objects[xattr.object] != nil else { return false }
            objects[xattr.object]!.xattrs[xattr.name] = (nil, stamp)
            touch(xattr.object, stamp)
        case .set(let setting):
            guard String(decoding: setting.key, as: UTF8.self) == "merge.rules" else { break }
            let value = String(decoding: setting.value, as: UTF8.self)
            mergeRules = value.isEmpty ? 0 : Int(value) ?? -1
        default: break
        }
        return true
    }

    private mutating func touch(_ object: OperationID, _ stamp: Stamp) {
        objects[object]!.changed = stamp
    }

    private mutating func touchListing(_ directory: OperationID, _ stamp: Stamp) {
        objects[directory]!.modified = (
            moment(stamp, notBefore: objects[directory]!.make.created), stamp
        )
        objects[directory]!.changed = stamp
    }

    /// A time of the operation's block, or one up to a second later that the operation tells itself.
    private func moment(_ stamp: Stamp, notBefore told: Timestamp) -> Timestamp {
        let own = stamp.timestamp
        return own < told && told.milliseconds < own.milliseconds + 1000 ? told : own
    }

    // MARK: The tree

    private mutating func placeEntries() {
        var moves: [(stamp: Stamp, entry: OperationID, parent: OperationID, name: [UInt8])] = []
        for (id, entry) in entries {
            if objects[entry.object]!.make.kind == .directory {
                for place in entry.places {
                    moves.append((place.stamp, id, place.parent, place.name))
                }
            } else {
                let last = entry.places.max { isBefore($0.stamp, $1.stamp) }!
                entries[id]!.parent = last.parent
                entries[id]!.name = last.name
                entries[id]!.placed = last.stamp
            }
        }
        moves.sort { isBefore($0.stamp, $1.stamp) }
        var parents: [OperationID: OperationID] = [:]
        for move in moves {
            let directory = entries[move.entry]!.object
            var current: OperationID? = move.parent
            while let step = current, step != directory { current = parents[step] }
            if current == directory { continue }
            parents[directory] = move.parent
            entries[move.entry]!.parent = move.parent
            entries[move.entry]!.name = move.name
            entries[move.entry]!.placed = move.stamp
        }
    }

    private func isDead(_ id: OperationID) -> Bool {
        let entry = entries[id]!
        return entry.removals.contains { removal in
            entry.places.allSatisfy { sees(removal, $0.stamp.operation) }
                && versions.allSatisfy { version, row in
                    row.object != entry.object || sees(removal, version)
                        || sees(version, removal)
                }
        }
    }

    func isVisible(_ id: OperationID) -> Bool {
        if !isDead(id) { return true }
        let object = entries[id]!.object
        return entries.contains { $0.value.parent == object && isVisible($0.key) }
    }

    // MARK: What shows

    /// The heads that show, the file itself first.
    func shownHeads(of object: OperationID) -> [OperationID] {
        let heads = versions.filter { $0.value.object == object && !$0.value.hasChild }
            .keys.sorted { isBefore(versions[$1]!.stamp, versions[$0]!.stamp) }
        var shown = heads.filter { !versions[$0]!.isClosed }
        if shown.isEmpty { shown = Array(heads.prefix(1)) }
        if merge(of: object) != nil { return Array(shown.prefix(1)) }
        var contents: Set<[UInt8]> = []
        return shown.filter { contents.insert(versions[$0]!.key).inserted }
    }

    private struct Thing {
        var entry: OperationID
        /// All the directories that it is, the canonical one first; else the object.
        var objects: [OperationID]
        var version: OperationID?
        var stamp: Stamp
        var kind: ObjectKind
        var base: [UInt8]
    }

    /// Everything that shows.
    package func picture() -> Picture {
        var picture = Picture()
        var visible: [OperationID: [OperationID]] = [:]
        var links: [OperationID: UInt64] = [:]
        for id in entries.keys.sorted(by: { $0.rawValue < $1.rawValue }) where isVisible(id) {
            visible[entries[id]!.parent, default: []].append(id)
            links[entries[id]!.object, default: 0] += 1
        }
        draw([.root], path: [], isInGit: false, visible, links, into: &picture)
        return picture
    }

    private func draw(
        _ directories: [OperationID], path: [UInt8], isInGit: Bool,
        _ visible: [OperationID: [OperationID]], _ links: [OperationID: UInt64],
        into picture: inout Picture
    ) {
        let children = directories.flatMap { visible[$0] ?? [] }
        let groups = Dictionary(grouping: children) { entries[$0]!.name }
        var named: [([UInt8], Thing)] = []
        for name in groups.keys.sorted(by: { $0.lexicographicallyPrecedes($1) }) {
            var (holder, losers) = contest(groups[name]!, name: name)
            if path.isEmpty, name == Array(".holdfast".utf8) {
                losers = (losers + [holder]).sorted { isBefore($0.stamp, $1.stamp) }
            } else {
                named.append((name, holder))
            }
            let isDatabase = ["-wal", "-shm", "-journal"].contains { suffix in
                let bytes = Array(suffix.utf8)
                return groups[name + bytes] != nil
                    || name.count > bytes.count && Array(name.suffix(bytes.count)) == bytes
            }
            var taken: Set<[UInt8]> = []
            for loser in losers {
                let shown = conflictName(loser) { groups[$0] != nil || taken.contains($0) }
                taken.insert(shown)
                picture.conflicts.insert(path + shown)
                if !isInGit && !(isDatabase && loser.kind == .file) { named.append((shown, loser)) }
            }
        }
        for (name, thing) in named {
            let itemPath = path + name
            if thing.kind == .directory {
                draw(
                    thing.objects, path: itemPath + Array("/".utf8),
                    isInGit: isInGit
                        || entries[thing.entry]!.name.suffix(4) == Array(".git".utf8)[...], visible,
                    links, into: &picture)
            } else {
                picture.items[itemPath] = item(thing, links: links[thing.objects[0]] ?? 0)
            }
        }
        let subdirectories = groups.values.map { unions(of: $0).count }.reduce(0, +)
        let key = path.isEmpty ? Array("/".utf8) : path
        picture.items[key] = directory(directories, links: 2 + UInt64(subdirectories))
    }

    private func unions(of group: [OperationID]) -> [[OperationID]] {
        let directories = group.filter { objects[entries[$0]!.object]!.make.kind == .directory }
        let keyed = Dictionary(grouping: directories) { id -> UInt64 in
            let placed = entries[id]!.placed.operation
            return placed == id ? .max : placed.rawValue >> 14
        }
        return keyed.values.map { members in
            members.map { entries[$0]!.object }.sorted {
                isBefore(objects[$0]!.made, objects[$1]!.made)
            }
        }
    }

    private func contest(_ group: [OperationID], name: [UInt8]) -> (Thing, [Thing]) {
        var things: [Thing] = []
        for union in unions(of: group) {
            let entry = group.first { entries[$0]!.object == union[0] }!
            things.append(
                Thing(
                    entry: entry, objects: union, stamp: entries[entry]!.placed,
                    kind: .directory, base: name))
        }
        for id in group {
            let entry = entries[id]!
            let kind = objects[entry.object]!.make.kind
            guard kind != .directory else { continue }
            things.append(
                Thing(
                    entry: id, objects: [entry.object], stamp: entry.placed, kind: kind,
                    base: name))
        }
        func rank(_ kind: ObjectKind) -> Int {
            [.directory: 0, .file: 1, .symlink: 2][kind] ?? 3
        }
        things.sort {
            rank($0.kind) != rank($1.kind)
                ? rank($0.kind) < rank($1.kind) : isBefore($0.stamp, $1.stamp)
        }
        var contents: Set<[UInt8]> = []
        func content(_ version: OperationID?) -> [UInt8] {
            guard let version, versions[version]!.write.size > 0 else { return Array("f".utf8) }
            return Array("f".utf8) + versions[version]!.key
        }
        var shown: [Thing] = []
        for thing in things {
            if thing.kind == .file {
                let merged = merge(of: thing.objects[0]).map { Array("f".utf8) + $0.key }
                let bytes = merged ?? content(shownHeads(of: thing.objects[0]).first)
                guard contents.insert(bytes).inserted else { continue }
            }
            if thing.kind == .symlink {
                let bytes = Array("l".utf8) + objects[thing.objects[0]]!.make.target
                guard contents.insert(bytes).inserted else { continue }
            }
            shown.append(thing)
        }
        for thing in things where thing.kind == .file {
            for head in shownHeads(of: thing.objects[0]).dropFirst() {
                guard contents.insert(content(head)).inserted else { continue }
                var copy = thing
                copy.version = head
                copy.stamp = versions[head]!.stamp
                shown.append(copy)
            }
        }
        let losers = shown.dropFirst().sorted { isBefore($0.stamp, $1.stamp) }
        return (shown[0], losers)
    }

    private func conflictName(_ loser: Thing, isTaken: ([UInt8]) -> Bool) -> [UInt8] {
        let key = writers.key(of: loser.stamp.operation.writer)
        let names = NaiveConflictName(
            base: loser.base, isDirectory: loser.kind == .directory,
            device: names[key] ?? String(key.hex.prefix(8)),
            milliseconds: loser.stamp.time.milliseconds,
            identity: hash(loser.version ?? loser.objects[0]))
        return names.candidates.first { !isTaken($0) } ?? names.candidates[8]
    }

    /// Stands for an identity on every device.
    private func hash(_ id: OperationID) -> Bytes32 {
        var bytes = Array("i".utf8) + writers.key(of: id.writer).bytes
        bytes += (0..<8).map { UInt8(truncatingIfNeeded: id.block >> UInt64(8 * $0)) }
        bytes += (0..<2).map { UInt8(truncatingIfNeeded: id.index >> (8 * $0)) }
        return Blake2b.hash256(bytes)
    }

    // MARK: Items

    private func identity(_ id: OperationID) -> String {
        "\(writers.key(of: id.writer)).\(id.block).\(id.index)"
    }

    private func item(_ thing: Thing, links: UInt64) -> Picture.Item {
        let id = thing.objects[0]
        var item = common(id)
        item.links = links
        item.size = UInt64(objects[id]!.make.target.count)
        guard thing.kind == .file else { return item }
        item.size = 0
        if let head = thing.version ?? shownHeads(of: id).first {
            let version = versions[head]!
            let merged = thing.version == nil ? merge(of: id) : nil
            item.content = merged?.content ?? version.write.content
            item.size = merged?.size ?? version.write.size
            let isSet = isBefore(version.stamp, objects[id]!.modified.1)
            if thing.version != nil || !isSet {
                item.modified = merged?.modified ?? version.write.modified
            }
            item.changed = moment(objects[id]!.changed, notBefore: item.modified)
        }
        if let version = thing.version { item.identity = identity(version) }
        return item
    }

    private func directory(_ members: [OperationID], links: UInt64) -> Picture.Item {
        var item = common(members[0])
        item.links = links
        let modified = members.map { objects[$0]!.modified }.max { isBefore($0.1, $1.1) }!
        let changed = members.map { objects[$0]!.changed }.max { isBefore($0, $1) }!
        item.modified = modified.0
        item.changed = moment(changed, notBefore: modified.0)
        return item
    }

    private func common(_ id: OperationID) -> Picture.Item {
        let object = objects[id]!
        return Picture.Item(
            identity: identity(id), kind: object.make.kind, mode: object.mode.0,
            uid: object.uid.0, gid: object.gid.0, size: 0, links: 0,
            modified: object.modified.0, accessed: object.accessed.0,
            changed: moment(object.changed, notBefore: object.modified.0),
            target: object.make.target, content: [],
            xattrs: object.xattrs.compactMapValues(\.value))
    }
}
