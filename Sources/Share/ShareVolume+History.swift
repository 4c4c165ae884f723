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
    /// What it concerns: of a thing in the tree its path from the root, where it shows or was last; of a
    /// `place` the name that it gave, below that of the directory; escape it for a terminal.
    package var path: String
    package var detail: String
    /// `OperationName`: what `restore --version` takes, if it is a `write`.
    package var id: String
    /// Of a `write`, whether its bytes are what the file shows (`shown`), show beside it (`copy`), or
    /// are a head that was closed (`closed`); else empty.
    package var state: String

    package init(
        time: UInt64, device: String, operation: String, path: String, detail: String, id: String,
        state: String
    ) {
        self.id = id
        self.state = state
        self.time = time
        self.device = device
        self.operation = operation
        self.path = path
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
                return try pathsAdded(to: reading.newestFirst(limit))
            }
        }
    }

    /// Says where each thing is, some at a time.
    private func pathsAdded(to found: [HistoryReading.Found]) throws(StorageError)
        -> [HistoryEntry]
    {
        var entries: [HistoryEntry] = []
        var known: [ObjectID: [[UInt8]]] = [:]
        for start in stride(from: 0, to: found.count, by: 256) {
            try engine.withLock { (engine) throws(StorageError) in
                for item in found[start..<min(start + 256, found.count)] {
                    entries.append(try item.entry(at: engine, &known))
                }
            }
        }
        return entries
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
    /// The names from the root to where a thing shows, or was last.
    func lastPath(of object: ObjectID) throws(StorageError) -> [[UInt8]] {
        var names: [[UInt8]] = []
        var current = object
        while names.count < FileTreeLimits.pathDepthMax {
            if let shown = try tree.path(of: current) { return shown.names + names.reversed() }
            let last = try storage.entries(of: current).max {
                writers.precedes($0.placement.stamp, $1.placement.stamp)
            }
            guard let last else { break }
            names.append(last.placement.name)
            current = last.placement.parent
        }
        return names.reversed()
    }

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
