package import Base
internal import Chunks
package import FileTree
package import Share

struct ShareStatements {
    let value, putValue, removeValue: SQLiteStatement
    let writers, addWriter, setWriter: SQLiteStatement
    let appliedLog, putAppliedLog: SQLiteStatement
    let staged, stagedOf, putStaged, removeStaged: SQLiteStatement
    let wanted, putWanted, removeWanted: SQLiteStatement
    let versionsAfter: SQLiteStatement
    let freePages: SQLiteStatement

    init(_ connection: SQLiteConnection) throws(StorageError) {
        value = try connection.prepare("SELECT value FROM value WHERE name = ?")
        putValue = try connection.prepare("REPLACE INTO value VALUES (?, ?)")
        removeValue = try connection.prepare("DELETE FROM value WHERE name = ?")
        writers = try connection.prepare("SELECT slot, key FROM writer ORDER BY slot")
        addWriter = try connection.prepare(
            "INSERT INTO writer SELECT coalesce(max(slot), 0) + 1, ? FROM writer")
        setWriter = try connection.prepare("REPLACE INTO writer VALUES (?, ?)")
        appliedLog = try connection.prepare(
            "SELECT blocks, codec_state FROM applied_log WHERE slot = ?")
        putAppliedLog = try connection.prepare("REPLACE INTO applied_log VALUES (?, ?, ?)")
        staged = try connection.prepare("SELECT node, record FROM staged ORDER BY node")
        stagedOf = try connection.prepare("SELECT record FROM staged WHERE node = ?")
        putStaged = try connection.prepare("REPLACE INTO staged VALUES (?, ?)")
        removeStaged = try connection.prepare("DELETE FROM staged WHERE node = ?")
        wanted = try connection.prepare(
            "SELECT address, key, length, is_list FROM wanted ORDER BY number")
        putWanted = try connection.prepare(
            """
            INSERT INTO wanted (address, key, length, is_list) VALUES (?, ?, ?, ?)
            ON CONFLICT (address) DO NOTHING
            """)
        removeWanted = try connection.prepare("DELETE FROM wanted WHERE address = ?")
        freePages = try connection.prepare("PRAGMA freelist_count")
        versionsAfter = try connection.prepare(
            """
            SELECT id, object, is_head, payload FROM version WHERE id > ? ORDER BY id LIMIT ?
            """)
    }
}

extension ShareDatabase {
    private enum Limits {
        /// Version rows held at a time while all are walked.
        static let versionsPerPage = 512
    }

    package func value(_ name: String) throws(StorageError) -> [UInt8]? {
        try shareStatements.value.first(name) { row throws(StorageError) in row.bytes(0) }
    }

    package func setValue(_ value: [UInt8]?, of name: String) throws(StorageError) {
        if let value {
            try shareStatements.putValue.run(name, value)
        } else {
            try shareStatements.removeValue.run(name)
        }
    }

    // MARK: Logs in the view

    package func writers() throws(StorageError) -> [Bytes32] {
        var keys: [Bytes32] = []
        try shareStatements.writers.forEach { row throws(StorageError) in
            guard let key = row.bytes32(1), row.integer(0) == Int64(keys.count + 1) else {
                throw damaged("writer \(row.integer(0))")
            }
            keys.append(key)
        }
        return keys
    }

    package func addWriter(_ key: Bytes32) throws(StorageError) {
        try shareStatements.addWriter.run(key)
    }

    package func setWriter(_ key: Bytes32, of slot: WriterSlot) throws(StorageError) {
        try shareStatements.setWriter.run(slot, key)
    }

    package func appliedLog(_ slot: WriterSlot) throws(StorageError) -> AppliedLog? {
        try shareStatements.appliedLog.first(slot) { row throws(StorageError) in
            AppliedLog(blocks: row.unsigned(0), codecState: row.bytes(1))
        }
    }

    package func setAppliedLog(_ applied: AppliedLog, of slot: WriterSlot) throws(StorageError) {
        try shareStatements.putAppliedLog.run(slot, applied.blocks, applied.codecState)
    }

    // MARK: Staged files

    package func putStaged(_ staged: StagedFile) throws(StorageError) {
        try shareStatements.putStaged.run(
            staged.node.rawValue, StagedRecord.encode(staged, boot: boot))
    }

    package func removeStaged(_ node: NodeID) throws(StorageError) {
        try shareStatements.removeStaged.run(node.rawValue)
    }

    package func staged(_ node: NodeID) throws(StorageError) -> StagedFile? {
        let bytes = try shareStatements.stagedOf.first(node.rawValue) { row throws(StorageError) in
            row.bytes(0)
        }
        guard let bytes else { return nil }
        switch StagedRecord.decode(bytes.span, node: node, boot: boot) {
        case .file(let file): return file
        case .lost: return nil
        case nil: throw damaged("staging record of node \(node.rawValue)")
        }
    }

    package func stagedFiles() throws(StorageError) -> [StagedFile] {
        let found = try stagedRecords()
        if let node = found.damaged.first {
            throw damaged("staging record of node \(node.rawValue)")
        }
        for node in found.lost { try removeStaged(node) }
        return found.files
    }

    struct StagedRecords {
        var files: [StagedFile] = []
        /// Those whose bytes the machine never had on its disk.
        var lost: [NodeID] = []
        var damaged: [NodeID] = []
    }

    func stagedRecords() throws(StorageError) -> StagedRecords {
        var found = StagedRecords()
        try shareStatements.staged.forEach { row throws(StorageError) in
            let node = NodeID(rawValue: row.unsigned(0))
            let bytes = row.bytes(1)
            switch StagedRecord.decode(bytes.span, node: node, boot: boot) {
            case .file(let file): found.files.append(file)
            case .lost: found.lost.append(node)
            case nil: found.damaged.append(node)
            }
        }
        return found
    }

    package func damages() throws(StorageError) -> [String] {
        var lines: [String] = []
        // What of SQLite's own structures does not hold together; rows may be gone with it.
        try connection.prepare("PRAGMA quick_check(8)").forEach { row throws(StorageError) in
            let line = String(decoding: row.bytes(0), as: UTF8.self)
            if line != "ok" {
                lines.append("\(connection.path): \(line): run `holdfast check --rebuild`")
            }
        }
        let damaged = try stagedRecords().damaged.count
        if damaged > 0 {
            lines.append(
                "\(damaged) records of changes to files that were not shared yet are damaged: "
                    + "`holdfast check --rebuild` puts the bytes aside, and the files go on as they"
                    + " were last shared")
        }
        return lines
    }

    // MARK: Wanted chunks

    package func putWanted(_ chunk: WantedChunk) throws(StorageError) {
        try shareStatements.putWanted.run(
            chunk.reference.address, chunk.reference.key, UInt64(chunk.reference.length),
            chunk.isList)
    }

    package func removeWanted(_ address: Bytes32) throws(StorageError) {
        try shareStatements.removeWanted.run(address)
    }

    package func wantedChunks() throws(StorageError) -> [WantedChunk] {
        try shareStatements.wanted.all { row throws(StorageError) in
            guard let address = row.bytes32(0), let key = row.bytes32(1),
                let length = UInt32(exactly: row.integer(2))
            else { throw damaged("wanted chunk") }
            return WantedChunk(
                reference: ChunkReference(address: address, key: key, length: length),
                isList: row.bool(3))
        }
    }

    // MARK: The view as a whole

    package func forEachVersion(_ body: (VersionRow) throws(StorageError) -> Void)
        throws(StorageError)
    {
        try tellVersions()
        var last: Int64 = -1
        while true {
            // In pages, so that no statement is open while `body` uses the storage.
            let rows = try shareStatements.versionsAfter.all(
                last, Int64(Limits.versionsPerPage), read: versionRow)
            for row in rows { try body(row) }
            guard let end = rows.last else { return }
            last = end.id.rowID
        }
    }

    package func releaseSpace() throws(StorageError) -> Bool {
        try connection.releasePages(shareStatements.freePages)
    }

    package func removeDamagedStaged() throws(StorageError) -> Int {
        let damaged = try stagedRecords().damaged
        for node in damaged { try removeStaged(node) }
        return damaged.count
    }

    package func removeView() throws(StorageError) {
        cache.removeAll()
        for table in Schema.viewTables {
            try connection.prepare("DELETE FROM \(table)", changesMany: true).run()
        }
    }
}
