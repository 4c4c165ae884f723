internal import Base
internal import CSQLite
internal import Glibc

/// One connection to a database that nobody else uses: WAL, one open transaction at a time.
///
/// For one thread at a time. A transaction begins with the first statement and ends with `commit`.
/// SQLite undoes a whole transaction when a disk fails, so after an error that broke one, every call
/// throws that error again: what memory believes is no longer what the file says, and only opening
/// anew, at the last commit, brings both together.
@safe final class SQLiteConnection {
    enum Limits {
        /// SQLite's default page size and the header of a page in the WAL, in bytes.
        static let pageSize: UInt64 = 4096
        static let frameHeaderSize: UInt64 = 24
        /// The page cache, in KiB.
        static let cacheKibibytes = 32 << 10
        /// A transaction with more changed pages than this is written out in part before it ends.
        static let heldPagesMax = 16 << 10
        /// Pages that a few rows change besides their own bytes.
        static let pagesPerBlockOfRows: UInt64 = 64
        /// When the WAL has so many pages more, they are moved to the database. Pages that changed again and
        /// again are moved once: the more are let come together, the better, but after a crash all are
        /// read. They fit into what `JournalFile` keeps.
        static let walPagesMax: Int32 = 12_000
        /// What a commit moves itself, while callers wait, so that the WAL can begin anew. The rest is moved
        /// by another thread.
        static let walPagesRest: Int32 = 1024
        /// As many wait for a thread that is slower than the writer; then callers do.
        static let walPagesLate: Int32 = 4 * walPagesMax
        /// Free pages taken out of the file in one go.
        static let releasedPages = 64
    }

    let path: String
    private let handle: OpaquePointer
    /// Pages in the WAL, told by SQLite at each commit.
    private let walPages: UnsafeMutablePointer<Int32>
    private var walPagesTried: Int32 = 0
    private var walPagesBefore: Int32 = 0
    private let mover: PageMover
    /// Runs what takes long on another thread; without one, callers wait.
    private let elsewhere: Elsewhere?
    let journal: JournalFile
    /// Keeps other processes, and other connections of this one, out.
    private let hold: FileDescriptor
    private var isInTransaction = false
    /// What this transaction may have changed.
    private var changes = Changes()
    private var failure: StorageError?

    /// Opens the database `name` in `directory`, making it (mode 0600) if there is none, and takes
    /// it for this object.
    init(_ name: String, in directory: Directory, elsewhere: Elsewhere? = nil)
        throws(StorageError)
    {
        path = "\(directory.path)/\(name)"
        self.elsewhere = elsewhere
        // Refuses a link, and gives the mode, which SQLite takes over for the WAL. Open for as long as
        // SQLite has the file: closing it drops SQLite's own locks.
        hold = try directory.file(name, O_RDWR | O_CREAT)
        guard flock(hold.raw, LOCK_EX | LOCK_NB) == 0 else {
            throw .of(code: errno == EWOULDBLOCK ? EBUSY : errno, "using \(path)")
        }
        let isNew = try hold.size() == 0
        let connection = try unsafe Self.open(path)
        do throws(StorageError) {
            if isNew {
                // Pages left free can be given back only in a database that began so.
                try unsafe Self.execute(
                    "PRAGMA auto_vacuum = INCREMENTAL", on: connection, path: path)
            }
            try unsafe Self.execute(Self.settings, on: connection, path: path)
            journal = try JournalFile(
                directory.file("\(name)-wal", O_RDWR), index: directory.file("\(name)-shm", O_RDWR))
            try directory.sync()
            mover = unsafe PageMover(owning: try Self.openSecond(path), path: path)
        } catch {
            unsafe sqlite3_close_v2(connection)
            throw error
        }
        unsafe handle = connection
        unsafe walPages = .allocate(capacity: 1)
        unsafe walPages.initialize(to: 0)
        // The hook only stores a number; the pointer is freed after the connection is closed.
        unsafe sqlite3_wal_hook(
            connection,
            { context, _, _, pages in
                unsafe context?.assumingMemoryBound(to: Int32.self).pointee = pages
                return SQLITE_OK
            }, walPages)
    }

    deinit {
        // Until then this would not be the last connection, which removes the WAL.
        mover.close()
        // Rolls back what was not committed; statements hold the connection, so none is left.
        unsafe sqlite3_close_v2(handle)
        unsafe walPages.deallocate()
    }

    /// Settings of the whole library, made once.
    private static let library: Void = holdfast_sqlite3_configure()

    private static func open(_ path: String) throws(StorageError) -> OpaquePointer {
        _ = library
        var opened: OpaquePointer?
        // The path outlives the call. One thread at a time: no mutex of SQLite's own is needed.
        let code = unsafe sqlite3_open_v2(
            path, &opened,
            SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX
                | SQLITE_OPEN_EXRESCODE, nil)
        guard let connection = unsafe opened else {
            throw .io(code: ENOMEM, action: "opening \(path)")
        }
        guard code == SQLITE_OK else {
            let error = unsafe Self.error(of: connection, code: code, path: path)
            unsafe sqlite3_close_v2(connection)
            throw error
        }
        return unsafe connection
    }

    /// The connection that moves pages. Its only statement reads, so that it knows of the WAL.
    private static func openSecond(_ path: String) throws(StorageError) -> OpaquePointer {
        let connection = try unsafe open(path)
        do throws(StorageError) {
            try unsafe execute(
                "PRAGMA synchronous = NORMAL; SELECT count(*) FROM sqlite_schema;", on: connection,
                path: path)
        } catch {
            unsafe sqlite3_close_v2(connection)
            throw error
        }
        return unsafe connection
    }

    // The last statement reads, so that the WAL is there.
    private static let settings = """
        PRAGMA journal_mode = WAL;
        PRAGMA synchronous = NORMAL;
        PRAGMA secure_delete = OFF;
        PRAGMA temp_store = MEMORY;
        PRAGMA cell_size_check = ON;
        PRAGMA trusted_schema = OFF;
        PRAGMA cache_size = -\(Limits.cacheKibibytes);
        PRAGMA cache_spill = \(Limits.heldPagesMax);
        PRAGMA journal_size_limit = \(JournalFile.Limits.bytesKept);
        SELECT count(*) FROM sqlite_schema;
        """

    /// Runs statements whose rows nobody wants, outside the transaction of the prepared ones.
    func execute(_ sql: String) throws(StorageError) {
        try unsafe Self.execute(sql, on: handle, path: path)
    }

    private static func execute(_ sql: String, on handle: OpaquePointer, path: String)
        throws(StorageError)
    {
        // The text outlives the call.
        let code = unsafe sqlite3_exec(handle, sql, nil, nil, nil)
        guard code == SQLITE_OK else { throw unsafe error(of: handle, code: code, path: path) }
    }

    /// - Parameter changesMany: whether one run may change any number of rows.
    func prepare(_ sql: String, changesMany: Bool = false) throws(StorageError) -> SQLiteStatement {
        var statement: OpaquePointer?
        // The text outlives the call.
        let code = unsafe sqlite3_prepare_v3(
            handle, sql, -1, UInt32(SQLITE_PREPARE_PERSISTENT), &statement, nil)
        guard code == SQLITE_OK, let prepared = unsafe statement else { throw error(code) }
        return unsafe SQLiteStatement(owning: prepared, of: self, changesMany: changesMany)
    }

    // MARK: Transactions

    private struct Changes {
        var statements: UInt64 = 0
        var bytes: UInt64 = 0
        /// Whether one statement may have changed any number of rows.
        var areMany = false

        /// More pages than are ever changed in practice: a tree's leaf for the row and each index,
        /// now and then some to make room in them; a long value has pages of its own.
        var pagesMax: UInt64 {
            areMany ? .max : 256 + 16 * statements + 2 * bytes / Limits.pageSize
        }
    }

    /// Called by statements before each step.
    func willStep() throws(StorageError) {
        if let failure { throw failure }
        guard !isInTransaction else { return }
        try execute("BEGIN")
        isInTransaction = true
    }

    /// Called by statements that write before each run, with the size of what they write.
    func willWrite(bytes: Int, changesMany: Bool) {
        changes.statements &+= 1
        changes.bytes &+= UInt64(bytes)
        changes.areMany = changes.areMany || changesMany
    }

    /// Called by statements that failed.
    ///
    /// - Returns: what to throw.
    func stepFailed(code: Int32, isWriting: Bool) -> StorageError {
        let error = error(code)
        let wasRolledBack = unsafe isInTransaction && sqlite3_get_autocommit(handle) != 0
        if wasRolledBack || isWriting { abandon(error) }
        return error
    }

    /// Ends the transaction. After `.full` it is still open, and nothing was lost.
    func commit() throws(StorageError) {
        if let failure { throw failure }
        guard isInTransaction else { return }
        if changes.statements > 0 { try reserveSpace(morePages: 0) }
        let code = unsafe sqlite3_exec(handle, "COMMIT", nil, nil, nil)
        guard code == SQLITE_OK else {
            let error = error(code)
            abandon(error)
            throw error
        }
        isInTransaction = false
        changes = Changes()
        checkpointIfDue()
    }

    /// Sees to it that a commit of what was changed, and of rows of so many bytes more, finds room.
    func makeRoom(bytes: Int) throws(StorageError) {
        if let failure { throw failure }
        let pages = Limits.pagesPerBlockOfRows + 2 * UInt64(bytes) / Limits.pageSize
        try reserveSpace(morePages: pages)
    }

    /// Takes some free pages out of the file, in a transaction of its own; nothing may be uncommitted. The file
    /// shrinks when the last are out.
    ///
    /// - Returns: whether there are more.
    func releasePages(_ statement: SQLiteStatement) throws(StorageError) -> Bool {
        let free = try statement.first { row throws(StorageError) in row.integer(0) } ?? 0
        try commit()
        guard free > 0 else { return false }
        // Each page that moves changes the one that points to it, and the map of both.
        let pages = UInt64(max(unsafe walPages.pointee, 0)) + 4 * UInt64(Limits.releasedPages)
        try journal.reserve(pages * (Limits.pageSize + Limits.frameHeaderSize))
        try execute("PRAGMA incremental_vacuum(\(Limits.releasedPages))")
        let left = try statement.first { row throws(StorageError) in row.integer(0) } ?? 0
        try commit()
        guard left == 0 || left == free else {
            checkpointIfDue()
            return true
        }
        movePagesToDatabase()
        return false
    }

    private func abandon(_ error: StorageError) {
        guard failure == nil else { return }
        failure = error
        if unsafe sqlite3_get_autocommit(handle) == 0 {
            // Closing would do it, too; an error here leaves no more than there was.
            unsafe _ = sqlite3_exec(handle, "ROLLBACK", nil, nil, nil)
        }
        isInTransaction = false
    }

    /// Makes sure that the coming COMMIT finds room in the WAL: a COMMIT that fails undoes all.
    private func reserveSpace(morePages: UInt64) throws(StorageError) {
        var cacheBytes: Int32 = 0
        var highest: Int32 = 0
        // Both are written during the call only.
        unsafe sqlite3_db_status(
            handle, SQLITE_DBSTATUS_CACHE_USED, &cacheBytes, &highest, 0)
        // Every changed page is in the cache, so there are no more than that. One for rounding.
        let cachedPages = UInt64(max(cacheBytes, 0)) / Limits.pageSize + 1
        let changedPages = min(cachedPages, changes.pagesMax)
        let pages = UInt64(max(unsafe walPages.pointee, 0)) + changedPages + morePages
        try journal.reserve(pages * (Limits.pageSize + Limits.frameHeaderSize))
    }

    /// Sees to it that what is in the WAL comes into the database when there is much of it. What was
    /// committed stays committed whatever happens here.
    private func checkpointIfDue() {
        let pages = unsafe walPages.pointee
        // Fewer pages than the last time: the WAL has begun anew.
        if pages < walPagesBefore { walPagesTried = 0 }
        walPagesBefore = pages
        let untried = pages - walPagesTried
        guard untried < Limits.walPagesLate else { return movePagesToDatabase() }
        do throws(StorageError) {
            guard let moved = try mover.moved() else { return }
            let isUnderWay = moved > 0
            guard isUnderWay || untried >= Limits.walPagesMax else { return }
            if isUnderWay, pages - moved <= Limits.walPagesRest { return movePagesToDatabase() }
            guard let elsewhere, mover.begin(elsewhere) else { return movePagesToDatabase() }
        } catch {
            walPagesTried = pages
            // A full disk: the WAL, which has its space, goes on growing until there is some.
            if error != .full { abandon(error) }
        }
    }

    /// All pages, so that the WAL begins anew with the next transaction. Waits for `mover`, if that is at it.
    private func movePagesToDatabase() {
        walPagesTried = unsafe walPages.pointee
        mover.forget()
        let code = unsafe sqlite3_wal_checkpoint_v2(
            handle, nil, SQLITE_CHECKPOINT_PASSIVE, nil, nil)
        guard code != SQLITE_OK, code & 0xff != SQLITE_BUSY else { return }
        let error = error(code)
        if error != .full { abandon(error) }
    }

    private func error(_ code: Int32) -> StorageError {
        unsafe Self.error(of: handle, code: code, path: path)
    }

    private static func error(of handle: OpaquePointer, code: Int32, path: String) -> StorageError {
        // The message lives until the next call on the connection; it is copied.
        let message = unsafe sqlite3_errmsg(handle).map { unsafe String(cString: $0) } ?? ""
        return .sqlite(
            code: code, systemCode: unsafe sqlite3_system_errno(handle), message: message,
            path: path)
    }
}
