internal import Base
internal import CSQLite

/// A prepared statement, finalized when its owner lets go.
///
/// Between `run` and `run`, `first` and `forEach` nothing stays open: each binds its parameters by
/// position, steps and resets. A statement must not be used from within its own `forEach`.
@safe final class SQLiteStatement {
    private let handle: OpaquePointer
    private let connection: SQLiteConnection
    private let isWriting: Bool
    private let changesMany: Bool

    /// Takes over `handle`.
    init(owning handle: OpaquePointer, of connection: SQLiteConnection, changesMany: Bool) {
        unsafe self.handle = handle
        self.connection = connection
        self.changesMany = changesMany
        isWriting = unsafe sqlite3_stmt_readonly(handle) == 0
    }

    deinit { unsafe sqlite3_finalize(handle) }

    /// For statements without rows.
    func run<each Value: SQLiteValue>(_ values: repeat each Value) throws(StorageError) {
        defer { reset() }
        try bind(repeat each values)
        while try step() {}
    }

    /// - Returns: what `read` makes of the first row; nil if there is none.
    func first<Result, each Value: SQLiteValue>(
        _ values: repeat each Value,
        read: (borrowing SQLiteRow) throws(StorageError) -> Result
    ) throws(StorageError) -> Result? {
        defer { reset() }
        try bind(repeat each values)
        guard try step() else { return nil }
        return try read(unsafe SQLiteRow(handle))
    }

    /// - Returns: what `read` makes of each row, in order.
    func all<Result, each Value: SQLiteValue>(
        _ values: repeat each Value,
        read: (borrowing SQLiteRow) throws(StorageError) -> Result
    ) throws(StorageError) -> [Result] {
        defer { reset() }
        try bind(repeat each values)
        var results: [Result] = []
        while try step() { results.append(try read(unsafe SQLiteRow(handle))) }
        return results
    }

    /// Calls `body` with each row, in order.
    func forEach<each Value: SQLiteValue>(
        _ values: repeat each Value,
        do body: (borrowing SQLiteRow) throws(StorageError) -> Void
    ) throws(StorageError) {
        defer { reset() }
        try bind(repeat each values)
        while try step() { try body(unsafe SQLiteRow(handle)) }
    }

    private func bind<each Value: SQLiteValue>(_ values: repeat each Value) throws(StorageError) {
        var index: Int32 = 0
        var size = 0
        for value in repeat each values {
            index += 1
            size += value.byteCount
            let code = unsafe value.bind(to: handle, at: index)
            guard code == SQLITE_OK else {
                throw connection.stepFailed(code: code, isWriting: isWriting)
            }
        }
        if isWriting { connection.willWrite(bytes: size, changesMany: changesMany) }
    }

    private func step() throws(StorageError) -> Bool {
        try connection.willStep()
        let code = unsafe sqlite3_step(handle)
        if code == SQLITE_ROW { return true }
        guard code == SQLITE_DONE else {
            throw connection.stepFailed(code: code, isWriting: isWriting)
        }
        return false
    }

    private func reset() {
        // The code is that of the last step, which was thrown then.
        unsafe sqlite3_reset(handle)
    }
}

/// The row a statement stands on. Columns count from 0. A value of another type is converted as
/// SQLite does it; the types of what was stored are this target's own.
@safe struct SQLiteRow: ~Copyable {
    private let handle: OpaquePointer

    fileprivate init(_ handle: OpaquePointer) { unsafe self.handle = handle }

    func isNull(_ column: Int32) -> Bool {
        unsafe sqlite3_column_type(handle, column) == SQLITE_NULL
    }

    func integer(_ column: Int32) -> Int64 { unsafe sqlite3_column_int64(handle, column) }

    /// Stored by its bit pattern.
    func unsigned(_ column: Int32) -> UInt64 { UInt64(bitPattern: integer(column)) }

    func bool(_ column: Int32) -> Bool { integer(column) != 0 }

    func bytes(_ column: Int32) -> [UInt8] {
        // The value lives until the next step; it is copied once. `sqlite3_column_bytes` comes second.
        let start = unsafe sqlite3_column_blob(handle, column)
        let count = unsafe sqlite3_column_bytes(handle, column)
        return unsafe [UInt8](
            UnsafeRawBufferPointer(start: start, count: start == nil ? 0 : Int(count)))
    }

    /// - Returns: nil unless the value is a blob of 32 bytes.
    func bytes32(_ column: Int32) -> Bytes32? {
        let start = unsafe sqlite3_column_blob(handle, column)
        let count = unsafe sqlite3_column_bytes(handle, column)
        let buffer = unsafe UnsafeRawBufferPointer(
            start: start, count: start == nil ? 0 : Int(count))
        // The span does not outlive the row's value.
        return unsafe Bytes32(buffer.assumingMemoryBound(to: UInt8.self).span)
    }
}

/// What a parameter of a statement can be.
protocol SQLiteValue {
    /// About how many bytes a row gets from it.
    var byteCount: Int { get }

    /// - Returns: SQLite's result code.
    func bind(to statement: OpaquePointer, at index: Int32) -> Int32
}

extension SQLiteValue {
    var byteCount: Int { 8 }
}

extension Int64: SQLiteValue {
    func bind(to statement: OpaquePointer, at index: Int32) -> Int32 {
        unsafe sqlite3_bind_int64(statement, index, self)
    }
}

extension UInt64: SQLiteValue {
    /// By its bit pattern: what is stored compares as a signed number.
    func bind(to statement: OpaquePointer, at index: Int32) -> Int32 {
        unsafe sqlite3_bind_int64(statement, index, Int64(bitPattern: self))
    }
}

extension Bool: SQLiteValue {
    func bind(to statement: OpaquePointer, at index: Int32) -> Int32 {
        unsafe sqlite3_bind_int64(statement, index, self ? 1 : 0)
    }
}

extension [UInt8]: SQLiteValue {
    var byteCount: Int { count }

    func bind(to statement: OpaquePointer, at index: Int32) -> Int32 {
        // SQLite copies the bytes during the call.
        unsafe withUnsafeBytes {
            unsafe holdfast_sqlite3_bind_blob_copied(
                statement, index, $0.baseAddress, UInt64($0.count))
        }
    }
}

extension Bytes32: SQLiteValue {
    var byteCount: Int { Self.count }

    func bind(to statement: OpaquePointer, at index: Int32) -> Int32 {
        unsafe bytes.bind(to: statement, at: index)
    }
}

extension String: SQLiteValue {
    var byteCount: Int { utf8.count }

    func bind(to statement: OpaquePointer, at index: Int32) -> Int32 {
        unsafe [UInt8](utf8).bind(to: statement, at: index)
    }
}

extension Optional: SQLiteValue where Wrapped: SQLiteValue {
    var byteCount: Int { self?.byteCount ?? 0 }

    func bind(to statement: OpaquePointer, at index: Int32) -> Int32 {
        guard let self else { return unsafe sqlite3_bind_null(statement, index) }
        return unsafe self.bind(to: statement, at: index)
    }
}
