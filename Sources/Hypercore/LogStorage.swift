package import Base

/// What one device remembers of one log besides its tree nodes and blocks: one row a log.
package struct LogHeader: Equatable, Sendable {
    /// The log's public name; never changes.
    package var key: Bytes32
    /// The encoded manifest; empty while it is not known.
    package var manifest: [UInt8]
    /// Blocks that the signature covers, whether their bytes are here or not.
    package var length: UInt64
    /// Stored bytes of all those blocks.
    package var byteLength: UInt64
    package var fork: UInt64
    /// The signature of the tree at `length` and `fork` in its wire form; empty when `length` is 0.
    package var signature: [UInt8]
    /// Every block below this index is stored. A lower bound: it may lag behind a few hundred blocks
    /// (`storedRuns` tells the rest), so that a stored block need not rewrite the header.
    package var contiguousLength: UInt64

    package init(
        key: Bytes32, manifest: [UInt8] = [], length: UInt64 = 0, byteLength: UInt64 = 0,
        fork: UInt64 = 0, signature: [UInt8] = [], contiguousLength: UInt64 = 0
    ) {
        self.key = key
        self.manifest = manifest
        self.length = length
        self.byteLength = byteLength
        self.fork = fork
        self.signature = signature
        self.contiguousLength = contiguousLength
    }
}

/// The bytes of one block as the tree hashes them: encrypted, if the log is.
package struct StoredBlock: Equatable, Sendable {
    package var index: UInt64
    package var bytes: [UInt8]

    package init(index: UInt64, bytes: [UInt8]) {
        self.index = index
        self.bytes = bytes
    }
}

/// Rows of one log that change together.
///
/// Carried out in the order of the fields. The common case, one appended block, is one header,
/// one block and two nodes on average; a block fetched later is the same without the header.
package struct LogChange: Equatable, Sendable {
    /// The end of a log being cut off, and what has to go with it.
    package struct Truncation: Equatable, Sendable {
        /// Blocks with this index or a greater one go, and nodes with an index of at least
        /// `2 * length - 1` (of at least 0 when the length is 0).
        package var length: UInt64
        /// Further nodes that go: lower indexes, but they span removed blocks. At most 64.
        package var spanningNodes: [UInt64]

        package init(length: UInt64, spanningNodes: [UInt64]) {
            self.length = length
            self.spanningNodes = spanningNodes
        }

        /// The lowest node index that goes.
        package var firstNode: UInt64 { length == 0 ? 0 : 2 &* length &- 1 }
    }

    package var truncation: Truncation?
    /// Blocks whose bytes go; their nodes stay.
    package var cleared: Range<UInt64>?
    /// Nodes to add; an existing one is replaced.
    package var nodes: [TreeNode] = []
    /// Blocks to add; an existing one is replaced.
    package var blocks: [StoredBlock] = []
    /// The new header; nil leaves it as it is. Always given in a log's first change.
    package var header: LogHeader?

    package init(header: LogHeader?) { self.header = header }
}

/// Where logs are kept: SQLite in Store, memory in tests.
///
/// A log is named by its slot. All indexes are below 2^53. Calls come one at a time, under the
/// owner's lock; durability is the owner's business too.
package protocol LogStorage: AnyObject {
    /// The slots that have a header, ascending.
    func logs() throws(StorageError) -> [WriterSlot]

    /// - Returns: nil if nothing was ever written for `slot`.
    func header(_ slot: WriterSlot) throws(StorageError) -> LogHeader?

    /// - Returns: nil if the node is not stored.
    func node(_ slot: WriterSlot, at index: UInt64) throws(StorageError) -> TreeNode?

    /// - Returns: nil if the block is not stored; a stored block may be empty.
    func block(_ slot: WriterSlot, at index: UInt64) throws(StorageError) -> [UInt8]?

    /// The stored blocks with an index of at least `start`, as runs: ascending, not touching.
    ///
    /// Asked once when a log is opened, from its contiguous length; few rows are found there.
    func storedRuns(
        _ slot: WriterSlot, from start: UInt64
    ) throws(StorageError) -> [Range<UInt64>]

    /// Carries out a change as a whole: after an error nothing of it may be seen.
    func write(_ change: LogChange, to slot: WriterSlot) throws(StorageError)
}
