import Base
import FileTree
import Hypercore

/// Finds what a path named, also when it is gone: who had the last of the names, by the logs.
struct PathSearch {
    private struct Place {
        var parent: ObjectID
        var object: ObjectID
        var stamp: Stamp
    }

    private let path: [[UInt8]]
    private var walk: LogWalk
    private var places: [[UInt8]: [Place]] = [:]

    init(_ path: [[UInt8]], _ engine: Engine) {
        self.path = path
        walk = LogWalk(engine)
        for name in path { places[name] = [] }
    }

    /// - Returns: whether there is more to read.
    mutating func read(_ blocks: Int, from engine: Engine) throws(StorageError) -> Bool {
        var found: [(name: [UInt8], place: Place)] = []
        let names = places
        let more = try walk.read(blocks, from: engine) {
            (block, slot, number) throws(StorageError) in
            for (index, operation) in block.operations.enumerated() {
                guard case .place(let place) = operation, names[place.name] != nil else { continue }
                let id = OperationID(writer: slot, block: number, index: index)
                let object: ObjectID?
                switch place.subject {
                case .new(let new): object = new
                case .existing(let entry, _): object = try engine.storage.entry(entry)?.object
                }
                guard let object else { continue }
                let stamp = Stamp(time: block.time, operation: id)
                found.append(
                    (place.name, Place(parent: place.parent, object: object, stamp: stamp)))
            }
        }
        for (name, place) in found { places[name]?.append(place) }
        return more
    }

    /// - Returns: nil if nothing ever had the path.
    func result(_ engine: Engine) throws(StorageError) -> ObjectID? {
        var current = ObjectID.root
        for name in path {
            if let shown = try engine.tree.lookup(name, in: current) {
                current = shown.object
                continue
            }
            let parent = try engine.storage.object(current)?.canonical
            var last: Place?
            for place in places[name] ?? [] {
                if place.parent != current {
                    let canonical = try engine.storage.object(place.parent)?.canonical
                    guard canonical == parent else { continue }
                }
                if let known = last, engine.writers.precedes(place.stamp, known.stamp) { continue }
                last = place
            }
            guard let last else { return nil }
            current = last.object
        }
        return current
    }
}

/// Reads every block that the view has, log after log, some at a time: between two stretches the engine is
/// free for others.
struct LogWalk {
    private var slots: [WriterSlot]
    private var codec: BlockCodec?
    private var number: UInt64 = 0

    init(_ engine: Engine) {
        slots = engine.logs.keys.sorted { $0.rawValue > $1.rawValue }
        begin(engine)
    }

    /// Of what a checkpoint stands for there are no blocks.
    private mutating func begin(_ engine: Engine) {
        codec = slots.last.flatMap { engine.starts[$0] }
        number = codec?.number ?? 0
    }

    /// - Returns: whether there is more.
    mutating func read(
        _ blocks: Int, from engine: Engine,
        _ body: (Block, WriterSlot, UInt64) throws(StorageError) -> Void
    ) throws(StorageError) -> Bool {
        var left = blocks
        while let slot = slots.last, left > 0 {
            guard let log = engine.logs[slot], number < engine.applied[slot] ?? 0,
                let bytes = try log.block(at: number)
            else {
                slots.removeLast()
                begin(engine)
                continue
            }
            var codec = codec ?? BlockCodec(writer: slot)
            if let block = try? codec.decode(bytes.span, writers: engine.writers) {
                try body(block, slot, number)
            }
            self.codec = codec
            number += 1
            left -= 1
        }
        return !slots.isEmpty
    }
}
