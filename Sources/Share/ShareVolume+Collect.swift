package import Base
import Chunks
import FileTree

/// Giving back the space of chunks that nothing refers to.
extension ShareVolume {
    /// How long the content of a version that was succeeded is kept.
    package static let historyPeriod = Duration.seconds(30 * 24 * 3600)

    /// Collects if that was not done for a day, so that opening a share stays quick.
    ///
    /// - Returns: bytes freed.
    package func collectChunksIfDue() throws(StorageError) -> UInt64 {
        let now = environment.wallTime().milliseconds
        let last = try engine.withLock { (engine) throws(StorageError) in
            Engine.decode(try engine.storage.value(StoredValue.collected))
        }
        guard now < last || now - last >= Self.collectionInterval else { return 0 }
        let freed = try collectChunks()
        try engine.withLock { (engine) throws(StorageError) in
            try engine.storage.setValue(Engine.encode(now), of: StoredValue.collected)
            engine.markDirty()
        }
        return freed
    }

    /// In milliseconds.
    private static let collectionInterval: UInt64 = 24 * 3600 * 1000

    /// Drops every chunk that no shown content, no version of the history period and no staged
    /// file needs.
    ///
    /// To be called while nothing else uses the share: before it is mounted and connected. A chunk
    /// that came to be needed during the run could be dropped otherwise.
    ///
    /// - Returns: bytes freed.
    package func collectChunks() throws(StorageError) -> UInt64 {
        let now = environment.wallTime().milliseconds
        let period = UInt64(Self.historyPeriod.nanosecondsClamped / 1_000_000)
        let oldest = now > period ? now - period : 0
        var kept: Set<Bytes32> = []
        var walk = ReferenceWalk(chunks)
        try engine.withLock { (engine) throws(StorageError) in
            func keep(_ content: Content) throws(StorageError) {
                try walk.forEachReference(in: content) { kept.insert($0.address) }
            }
            try engine.storage.forEachVersion { (row) throws(StorageError) in
                guard row.isHead || row.time.milliseconds >= oldest else { return }
                guard let content = try? Content(decoding: row.content) else {
                    throw .corrupt(
                        what: "the content of version \(row.id); run holdfast check")
                }
                try keep(content)
            }
            for staged in try engine.storage.stagedFiles() { try keep(staged.base) }
        }
        return try chunks.collect { kept.contains($0) }
    }
}
