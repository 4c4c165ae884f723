package import Base
package import Chunks
package import FileTree
package import Hypercore

/// Makes durable what was committed, without the engine's lock. Thread-safe.
package protocol DurabilityBarrier: AnyObject, Sendable {
    /// Everything committed before the call survives a power cut when this returns.
    func wait() throws(StorageError)
}

/// How far a log is in the view.
package struct AppliedLog: Equatable, Sendable {
    /// Blocks applied, without a gap from 0.
    package var blocks: UInt64
    /// The block codec's state after them (`LogState` of FileTree), encoded.
    package var codecState: [UInt8]

    package init(blocks: UInt64, codecState: [UInt8]) {
        self.blocks = blocks
        self.codecState = codecState
    }
}

/// A chunk that the view needs and this device lacks.
package struct WantedChunk: Equatable, Sendable {
    package var reference: ChunkReference
    /// Whether it holds a list of pieces (of a content tree) and not file bytes.
    package var isList: Bool
    /// Whether something shown lacks it. If not, an old version or a published checkpoint that nobody may have any
    /// more is all that does: then this device has what it should. Not stored.
    package var isOwed: Bool

    package init(reference: ChunkReference, isList: Bool, isOwed: Bool = true) {
        self.reference = reference
        self.isList = isList
        self.isOwed = isOwed
    }
}

/// All durable state of one share except chunk bytes and staging files.
///
/// Used under the engine's lock, by one thread at a time. Everything between two commits is one
/// transaction: after a crash all of it is there, or nothing.
package protocol ShareStorage: LogStorage, TreeStorage {
    /// Ends the transaction; the next change begins another. Survives a killed process, not yet a
    /// power cut.
    func commit() throws(StorageError)
    /// Sees to it that a commit finds room on the disk, also after rows of so many bytes more.
    ///
    /// - Throws: `.full`, and nothing has changed.
    func makeRoom(bytes: Int) throws(StorageError)
    var barrier: any DurabilityBarrier { get }
    /// What is committed, as it stays while this goes on, to be read by one thread at a time. Nothing may be
    /// uncommitted. It keeps the disk from getting space back: not for long.
    ///
    /// - Returns: nil where there is no such thing.
    func snapshot() throws(StorageError) -> (any ShareStorage)?
    /// Gives back to the disk some of the space that forgotten rows have left, a few milliseconds' worth.
    /// Nothing may be uncommitted.
    ///
    /// - Returns: whether there is more.
    func releaseSpace() throws(StorageError) -> Bool

    /// Small values by name.
    func value(_ name: String) throws(StorageError) -> [UInt8]?
    /// Nil removes it.
    func setValue(_ value: [UInt8]?, of name: String) throws(StorageError)

    /// The keys of all logs that have a slot: the first has slot 1, and so on.
    func writers() throws(StorageError) -> [Bytes32]
    /// Gives the next slot to a log.
    func addWriter(_ key: Bytes32) throws(StorageError)
    /// Gives a slot in use to another log.
    func setWriter(_ key: Bytes32, of slot: WriterSlot) throws(StorageError)

    func appliedLog(_ slot: WriterSlot) throws(StorageError) -> AppliedLog?
    func setAppliedLog(_ applied: AppliedLog, of slot: WriterSlot) throws(StorageError)

    func putStaged(_ staged: StagedFile) throws(StorageError)
    func removeStaged(_ node: NodeID) throws(StorageError)
    func staged(_ node: NodeID) throws(StorageError) -> StagedFile?
    func stagedFiles() throws(StorageError) -> [StagedFile]
    /// Forgets the records that cannot be read.
    ///
    /// - Returns: how many there were.
    func removeDamagedStaged() throws(StorageError) -> Int

    /// What is found damaged without knowing what the rows mean, a line each, with what to do.
    func damages() throws(StorageError) -> [String]

    func putWanted(_ chunk: WantedChunk) throws(StorageError)
    func removeWanted(_ address: Bytes32) throws(StorageError)
    func wantedChunks() throws(StorageError) -> [WantedChunk]

    /// Calls `body` with every version's row, in the order of their ids.
    func forEachVersion(_ body: (VersionRow) throws(StorageError) -> Void) throws(StorageError)

    /// Forgets the view and all that can be made again from the logs (tree rows, tree state,
    /// applied logs, wanted chunks); logs, writers, values and staged files stay.
    func removeView() throws(StorageError)
}

extension ShareStorage {
    package func damages() throws(StorageError) -> [String] { [] }

    package func snapshot() throws(StorageError) -> (any ShareStorage)? { nil }

    /// Whether a version is one that its file shows, as itself or as a copy, under some name.
    func isShown(_ row: VersionRow) throws(StorageError) -> Bool {
        guard row.isHead else { return false }
        return try object(row.object).map { $0.links > 0 } ?? true
    }
}
