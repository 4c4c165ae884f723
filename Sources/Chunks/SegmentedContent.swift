package import Base

/// Makes a content of pieces that the caller has cut, one after the other: for bytes whose parts come back
/// unchanged in later contents.
///
/// All pieces but the last should have `ChunkLimits.chunkSizeMin` bytes.
package struct SegmentedContent {
    private var sink: ChunkSink
    private var writer = ListWriter()

    package init(keys: ContentKeys, storage: any ChunkStorage) {
        sink = ChunkSink(keys, storage)
    }

    /// What it has cost so far.
    package var statistics: BuildStatistics { sink.statistics }

    /// - Parameter bytes: 1 to `ChunkLimits.chunkSizeMax` of them.
    package mutating func append(_ bytes: [UInt8]) throws(StorageError) {
        precondition(!bytes.isEmpty && bytes.count <= ChunkLimits.chunkSizeMax)
        let reference = try sink.put(bytes.span)
        do throws(ContentError) {
            try writer.append(.chunk(reference), into: &sink)
        } catch {
            throw error.ofStorage
        }
    }

    /// - Throws: what the chunks need is durable only after the storage's `sync`.
    package mutating func finish() throws(StorageError) -> Content {
        do throws(ContentError) {
            return try writer.finish(into: &sink)
        } catch {
            throw error.ofStorage
        }
    }
}

extension ContentError {
    /// Nothing was read that could be missing.
    fileprivate var ofStorage: StorageError {
        switch self {
        case .storage(let error): error
        case .missing: .corrupt(what: "a content was cut from chunks that are not here")
        }
    }
}
