package import Base
package import Share

/// Runs something on another thread, soon.
///
/// - Returns: false if nobody has room for it: it will not run.
package typealias Elsewhere = @Sendable (_ work: @escaping @Sendable () -> Void) -> Bool

/// A share's database: its logs, its view and what hangs on them, in one SQLite file.
///
/// For one thread at a time, the holder of the engine's lock. Everything between two commits is one
/// transaction, begun by the first call after a commit. After an error other than `.full` from
/// `commit`, every later call throws that error: the transaction is undone, and the share must be
/// opened anew. A bulk of changes should be committed every few thousand of them: until then they
/// are held in memory.
package final class ShareDatabase: ShareStorage {
    package static let fileName = "share.sqlite"

    let boot: BootID
    let connection: SQLiteConnection
    let journal: JournalFile
    let logStatements: LogStatements
    let treeStatements: TreeStatements
    let shareStatements: ShareStatements
    let cache = RowCache()

    /// Opens the database in a share's directory, making it if there is none.
    ///
    /// - Throws: `StorageError.corrupt` also if a later version made it.
    ///
    /// - Parameters:
    ///   - boot: another number than the last time: the machine went down in between. Tests
    ///     say it; nil asks the machine.
    ///   - elsewhere: for what callers need not wait for; without it they do.
    package convenience init(
        directory path: String, boot: UInt64? = nil, elsewhere: Elsewhere? = nil
    ) throws(StorageError) {
        try self.init(
            in: Directory(path: path), boot: boot.map { BootID(high: 0, low: $0) } ?? .current,
            elsewhere: elsewhere)
    }

    init(
        in directory: Directory, boot: BootID = .current, elsewhere: Elsewhere? = nil
    ) throws(StorageError) {
        self.boot = boot
        connection = try SQLiteConnection(Self.fileName, in: directory, elsewhere: elsewhere)
        journal = connection.journal
        try Schema.prepare(connection)
        logStatements = try LogStatements(connection)
        treeStatements = try TreeStatements(connection)
        shareStatements = try ShareStatements(connection)
    }

    /// Ends the transaction; the next call begins another. Survives a killed process, not yet a power
    /// cut.
    ///
    /// - Throws: after `StorageError.full` the transaction is as it was: free space and commit again.
    package func commit() throws(StorageError) {
        try tellRows()
        try connection.commit()
    }

    package func makeRoom(bytes: Int) throws(StorageError) {
        try connection.makeRoom(bytes: bytes)
    }

    package var barrier: any DurabilityBarrier { journal }

    /// `commit`, then durable.
    package func sync() throws(StorageError) {
        try commit()
        try journal.wait()
    }

    /// What a row that cannot have been written by `ShareDatabase` means.
    func damaged(_ what: String) -> StorageError {
        .corrupt(what: "\(what) in \(connection.path): run `holdfast check --rebuild`")
    }
}
