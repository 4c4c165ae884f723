import Base
import FileTree

/// A walk through all logs that picks the operations of one object.
struct HistoryReading {
    struct Found {
        var stamp: Stamp
        var entry: HistoryEntry
        var place: Place

        /// - Parameter known: what was found before, by object.
        func entry(at engine: Engine, _ known: inout [ObjectID: [[UInt8]]]) throws(StorageError)
            -> HistoryEntry
        {
            let object: ObjectID
            var name: [[UInt8]] = []
            switch place {
            case .nowhere: return entry
            case .object(let own): object = own
            case .name(let own, let directory): (object, name) = (directory, [own])
            case .entry(let own):
                guard let row = try engine.storage.entry(own) else { return entry }
                object = row.object
            }
            let names: [[UInt8]]
            if let found = known[object] {
                names = found
            } else {
                names = try engine.lastPath(of: object)
                known[object] = names
            }
            var entry = entry
            entry.path = String(
                decoding: Array((names + name).joined(separator: [0x2f])), as: UTF8.self)
            return entry
        }
    }

    /// What an operation is about.
    enum Place {
        case nowhere
        case object(ObjectID)
        case entry(EntryID)
        case name([UInt8], in: ObjectID)

        init(_ operation: Operation, _ id: OperationID) {
            switch operation {
            case .make: self = .object(id)
            case .place(let place): self = .name(place.name, in: place.parent)
            case .remove(let remove): self = .entry(remove.entry)
            case .write(let write): self = .object(write.object)
            case .setAttribute(let set): self = .object(set.object)
            case .setXattr(let set): self = .object(set.object)
            case .removeXattr(let remove): self = .object(remove.object)
            default: self = .nowhere
            }
        }
    }

    private var walk: LogWalk
    private var found: [Found] = []
    private let object: ObjectID?
    private let entries: Set<EntryID>
    private let writers: WriterTable
    private let membership: Membership
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
            let (kind, name, detail) = describe(operation)
            found.append(
                Found(
                    stamp: Stamp(time: block.time, operation: id),
                    entry: HistoryEntry(
                        time: block.time.milliseconds, device: device, operation: kind,
                        path: name, detail: detail,
                        id: OperationName.text(of: id, engine.writers),
                        state: states[id] ?? ""), place: Place(operation, id)))
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

    /// - Returns: the name of what is not in the tree.
    private func describe(_ operation: Operation) -> (kind: String, name: String, detail: String) {
        switch operation {
        case .make(let make): return ("make", "", "\(make.kind)")
        case .place(let place):
            if case .new = place.subject { return ("place", "", "new name") }
            return ("place", "", "moved or renamed")
        case .remove(let remove):
            return ("remove", "", remove.version == nil ? "name removed" : "conflict copy removed")
        case .write(let write):
            return ("write", "", "\(write.size) bytes")
        case .setAttribute(let set):
            var parts: [String] = []
            if let mode = set.mode { parts.append("mode \(String(mode, radix: 8))") }
            if let uid = set.uid { parts.append("owner \(uid)") }
            if let gid = set.gid { parts.append("group \(gid)") }
            if set.modified != nil || set.accessed != nil { parts.append("times") }
            return ("setAttribute", "", parts.joined(separator: ", "))
        case .setXattr(let set):
            return ("setXattr", "", String(decoding: set.name, as: UTF8.self))
        case .removeXattr(let remove):
            return (
                "removeXattr", "", String(decoding: remove.name, as: UTF8.self)
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

    func newestFirst(_ limit: Int) -> [Found] {
        Array(found.sorted { writers.precedes($1.stamp, $0.stamp) }.prefix(limit))
    }
}
