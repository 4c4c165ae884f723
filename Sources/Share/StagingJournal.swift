package import Base

/// Small writes into a staging file that a record names already: what a sync makes durable.
package struct StagedWrites: Equatable, Sendable {
    /// Names the staging file.
    package var file: UInt64
    /// Of the file after them, in bytes.
    package var size: UInt64
    package var modified: Timestamp
    /// Ascending, not touching.
    package var ranges: [Range<UInt64>]
    /// Those of all ranges, one after the other.
    package var bytes: [UInt8]

    package init(
        file: UInt64, size: UInt64, modified: Timestamp, ranges: [Range<UInt64>], bytes: [UInt8]
    ) {
        self.file = file
        self.size = size
        self.modified = modified
        self.ranges = ranges
        self.bytes = bytes
    }
}

/// Writes into staging files, one after the other in one file of their own, so that a sync of a few
/// bytes costs one sync of the disk and not two: neither the staging file need be synced nor its record
/// made anew. After a crash they are put over the records. Thread-safe.
///
/// Bounded: when it is full, records must be made of all it has, and it begins anew.
package protocol StagingJournal: AnyObject, Sendable {
    /// The greatest number given to an entry.
    var last: UInt64 { get }
    /// Whether nothing is taken any more until `clear`.
    var isClosed: Bool { get }
    /// Durable after the next `sync`.
    ///
    /// - Returns: false if there is no room: nothing was written.
    func write(_ writes: StagedWrites) -> Bool
    /// - Throws: what was written since the last sync may not be there after a crash.
    func sync() throws(StorageError)
    /// Takes nothing any more until `clear`.
    func close()
    /// What an earlier run left, in order.
    func entries() throws(StorageError) -> [StagingJournalEntry]
    /// Forgets all entries. Later ones have numbers above `number`, and above all before.
    func clear(after number: UInt64)
}

package struct StagingJournalEntry: Equatable, Sendable {
    /// Records with a `journal` below this do not have the writes.
    package var number: UInt64
    package var writes: StagedWrites
    /// Whether the staging file has the bytes too: the machine has not gone down since.
    package var isInFile: Bool

    package init(number: UInt64, writes: StagedWrites, isInFile: Bool) {
        self.number = number
        self.writes = writes
        self.isInFile = isInFile
    }
}
