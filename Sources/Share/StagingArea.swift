package import Base
package import Chunks

/// A sparse file with the dirty bytes of one node, at their own offsets. Thread-safe.
package protocol StagingFile: AdoptableFile {
    var id: UInt64 { get }
    /// - Returns: bytes read; fewer than asked only at the end of the file.
    func read(at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(StorageError)
        -> Int
    func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(StorageError)
    /// Makes a range read as zeros and gives its space back.
    func punchHole(_ range: Range<UInt64>) throws(StorageError)
    func truncate(to size: UInt64) throws(StorageError)
    /// The next range at or after `offset` that holds data, as the disk knows it; nil past the last.
    func nextData(after offset: UInt64) throws(StorageError) -> Range<UInt64>?
    /// Lets the disk begin with large writes, so that the next sync has less to wait for. A hint, which
    /// promises nothing and may wait for the disk.
    func beginWriting()
    /// Durable when this returns.
    func sync() throws(StorageError)
    /// Gives the file and its space back; no call may follow.
    func remove()
}

/// Where dirty data waits until it is published. Thread-safe.
package protocol StagingArea: AnyObject, Sendable {
    func create() throws(StorageError) -> any StagingFile
    func open(_ id: UInt64) throws(StorageError) -> any StagingFile
    /// Removes files that no record names: leftovers of a crash.
    func removeAll(except kept: Set<UInt64>) throws(StorageError)
    /// nil where there is none: then a record is made for each sync of a file.
    var journal: (any StagingJournal)? { get }
}

extension StagingFile {
    package func beginWriting() {}
}

extension StagingArea {
    package var journal: (any StagingJournal)? { nil }
}
