import Base
import FileTree
import Hypercore

/// One operation, told to people.
package struct HistoryEntry: Codable, Equatable, Sendable {
    /// Milliseconds since 1970.
    package var time: UInt64
    package var device: String
    /// `make`, `place`, `remove`, `write` …
    package var operation: String
    /// The name it concerns, as far as the operation or the view tells; escape it for a terminal.
    package var name: String
    package var detail: String
    /// `OperationName`: what `restore --version` takes, if it is a `write`.
    package var id: String
    /// Of a `write`, whether its bytes are what the file shows (`shown`), show beside it (`copy`), or
    /// are a head that was closed (`closed`); else empty.
    package var state: String

    package init(
        time: UInt64, device: String, operation: String, name: String, detail: String, id: String,
        state: String
    ) {
        self.id = id
        self.state = state
        self.time = time
        self.device = device
        self.operation = operation
        self.name = name
        self.detail = detail
    }
}

extension ShareVolume {
    /// The operations behind a node, or all, newest first.
    ///
    /// - Parameters:
    ///   - path: names from the root; empty for the whole share.
    ///   - limit: the newest so many.
    package func history(of path: [[UInt8]], limit: Int) throws(VolumeError) -> [HistoryEntry] {
        let subject: ObjectID? = path.isEmpty ? nil : try object(at: path)
        // The lock is taken for a stretch of blocks at a time: the filesystem goes on meanwhile.
        return try readingHistory { () throws(VolumeError) in
            try Engine.stored { () throws(StorageError) in
                var reading = try engine.withLock { (engine) throws(StorageError) in
                    try HistoryReading(engine, of: subject)
                }
                while try engine.withLock({ (engine) throws(StorageError) in
                    try reading.read(256, from: engine)
                }) {}
                return reading.newestFirst(limit)
            }
        }
    }

    /// What a path names, or named last.
    func object(at path: [[UInt8]]) throws(VolumeError) -> ObjectID {
        let found = try readingHistory { () throws(VolumeError) in
            try Engine.stored { () throws(StorageError) in try find(path) }
        }
        guard let found else { throw .notFound }
        return found
    }
}

extension ShareVolume {
    private func find(_ path: [[UInt8]]) throws(StorageError) -> ObjectID? {
        let shown = try engine.withLock { (engine) throws(StorageError) in
            try engine.shownObject(at: path)
        }
        if let shown { return shown }
        var search = engine.withLock { PathSearch(path, $0) }
        while try engine.withLock({ (engine) throws(StorageError) in
            try search.read(256, from: engine)
        }) {}
        return try engine.withLock { (engine) throws(StorageError) in
            try search.result(engine)
        }
    }
}

extension Engine {
    /// What a path names now.
    func shownObject(at path: [[UInt8]]) throws(StorageError) -> ObjectID? {
        var current = ObjectID.root
        for name in path {
            guard let node = try tree.lookup(name, in: current) else { return nil }
            current = node.object
        }
        return current
    }
}

/// A walk through all logs that picks the operations of one object.
private struct HistoryReading {
    private struct Found {
        var stamp: Stamp
        var entry: HistoryEntry
    }

    private var walk: LogWalk
    private var found: [Found] = []
    private let object: ObjectID?
    private let entries: Set<EntryID>
    private let writers: WriterTable
    private let membership: Membership
    private var names: [ObjectID: String] = [:]
    private var states: [VersionID: String] = [:]

    init(_ engine: Engine, of subject: ObjectID?) throws(StorageError) {
        walk = LogWalk(engine)
        writers = engine.writers
        membership = engine.membership
        object = subject
        guard let subject else {
            entries = []
            return
        }
        entries = Set(try engine.storage.entries(of: subject).map(\.id))
        for head in try engine.storage.heads(of: subject) {
            states[head.id] = head.isClosed ? "closed" : "copy"
        }
        for shown in try engine.tree.content(of: subject)?.versions ?? [] {
            states[shown] = "shown"
        }
    }

    /// - Returns: whether there is more.
    mutating func read(_ blocks: Int, from engine: Engine) throws(StorageError) -> Bool {
        var taken: [(Block, WriterSlot, UInt64)] = []
        let more = try walk.read(blocks, from: engine) { taken.append(($0, $1, $2)) }
        for (block, slot, number) in taken { take(block, of: slot, number, engine) }
        return more
    }

    private mutating func take(
        _ block: Block, of slot: WriterSlot, _ number: UInt64, _ engine: Engine
    ) {
        let member = engine.membership.member(log: engine.writers.key(of: slot))
        let device = member.map { String(decoding: $0.name, as: UTF8.self) } ?? "?"
        for (index, operation) in block.operations.enumerated() {
            guard let operation else { continue }
            let id = OperationID(writer: slot, block: number, index: index)
            guard concerns(operation, id) else { continue }
            let (kind, name, detail) = describe(operation, id)
            found.append(
                Found(
                    stamp: Stamp(time: block.time, operation: id),
                    entry: HistoryEntry(
                        time: block.time.milliseconds, device: device, operation: kind,
                        name: name, detail: detail,
                        id: OperationName.text(of: id, engine.writers),
                        state: states[id] ?? "")))
        }
    }

    private func concerns(_ operation: Operation, _ id: OperationID) -> Bool {
        guard let object else { return true }
        return switch operation {
        case .make: id == object
        case .place(let place):
            switch place.subject {
            case .new(let placed): placed == object
            case .existing(let entry, _): entries.contains(entry)
            }
        case .remove(let remove): entries.contains(remove.entry)
        case .write(let write): write.object == object
        case .setAttribute(let set): set.object == object
        case .setXattr(let set): set.object == object
        case .removeXattr(let remove): remove.object == object
        default: false
        }
    }

    private mutating func describe(_ operation: Operation, _ id: OperationID)
        -> (kind: String, name: String, detail: String)
    {
        func name(_ object: ObjectID) -> String { names[object] ?? "" }
        switch operation {
        case .make(let make): return ("make", "", "\(make.kind)")
        case .place(let place):
            let text = String(decoding: place.name, as: UTF8.self)
            if case .new(let object) = place.subject {
                names[object] = text
                return ("place", text, "new name")
            }
            return ("place", text, "moved or renamed")
        case .remove(let remove):
            return ("remove", "", remove.version == nil ? "name removed" : "conflict copy removed")
        case .write(let write):
            return ("write", name(write.object), "\(write.size) bytes")
        case .setAttribute(let set):
            var parts: [String] = []
            if let mode = set.mode { parts.append("mode \(String(mode, radix: 8))") }
            if let uid = set.uid { parts.append("owner \(uid)") }
            if let gid = set.gid { parts.append("group \(gid)") }
            if set.modified != nil || set.accessed != nil { parts.append("times") }
            return ("setAttribute", name(set.object), parts.joined(separator: ", "))
        case .setXattr(let set):
            return ("setXattr", name(set.object), String(decoding: set.name, as: UTF8.self))
        case .removeXattr(let remove):
            return (
                "removeXattr", name(remove.object), String(decoding: remove.name, as: UTF8.self)
            )
        case .admit(let admit):
            return ("admit", String(decoding: admit.name, as: UTF8.self), "\(admit.role)")
        case .retire(let retire): return ("retire", deviceName(retire.device), "")
        case .revoke(let revoke):
            return (
                "revoke", deviceName(revoke.device), "after block \(revoke.length)"
            )
        case .invite: return ("invite", "", "")
        case .set(let setting):
            return ("set", String(decoding: setting.key, as: UTF8.self), "share setting")
        case .checkpoint: return ("checkpoint", "", "")
        }
    }

    private func deviceName(_ device: Bytes32) -> String {
        membership.member(device: device).map { String(decoding: $0.name, as: UTF8.self) }
            ?? String(device.hex.prefix(16))
    }

    func newestFirst(_ limit: Int) -> [HistoryEntry] {
        found.sorted { writers.precedes($1.stamp, $0.stamp) }.prefix(limit).map(\.entry)
    }
}
