internal import Base
internal import CFuse3
internal import Chunks
internal import Share

/// What an earlier run left.
extension Filesystem {
    /// Publishes what an earlier run recorded and did not publish; removes other staging files.
    func recover() throws(MountError) {
        do {
            let records = try replayJournal(over: volume.stagedFiles())
            try lift { () throws(StorageError) in
                try depot.removeAll(except: Set(records.map(\.file)))
            }
            for record in records { try recover(record) }
        } catch {
            switch error {
            case .storage(let error): throw .storage(error)
            default: throw .system(code: ErrorCode.code(error), action: "reading staged files")
            }
        }
    }

    private func recover(_ record: StagedFile) throws(VolumeError) {
        let staged: StagedData
        let opened = Result { () throws(StorageError) in
            // What was written past the end after the record was made is not the file's.
            try depot.open(record.file, size: record.size)
        }
        switch opened {
        case .success(let file): staged = file
        case .failure(let error) where error.isMissing:
            // The file was emptied or removed after it was recorded.
            log("a staged file of the last run is gone: \(error)")
            return try volume.forgetStaged(record.node)
        case .failure(let error):
            // Only what is not there is forgotten, and not what cannot be read now.
            throw .storage(error)
        }
        let number = (try? volume.attributes(of: record.node))?.number ?? record.node
        let file = table.pin(record.node, showing: number) {
            FileState(id: $0, node: record.node)
        }
        file.restore(record, staged: staged, chunks: chunks, now: Clock.now())
        publisher.noteDirty(file)
        do {
            try publisher.publish(file)
        } catch {
            log("saving what the last run left goes on later: \(error)")
        }
        table.unpin(file)
    }

    /// Puts what was synced since over the records, durably, and empties the journal.
    private func replayJournal(over records: [StagedFile]) throws(VolumeError) -> [StagedFile] {
        guard let journal = depot.journal else { return records }
        let entries = try lift { () throws(StorageError) in try journal.entries() }
        var records = records
        var last = entries.last?.number ?? 0
        var isChanged = false
        for index in records.indices {
            last = max(last, records[index].journal, records[index].synced?.journal ?? 0)
            let record = records[index]
            let missing = entries.filter { entry in
                entry.writes.file == record.file && entry.number > record.journal
            }
            guard !missing.isEmpty else { continue }
            let opened = Result { () throws(StorageError) in
                try depot.replay(missing, over: record)
            }
            switch opened {
            case .success(let replayed):
                records[index] = replayed
                try volume.recordStaged(replayed)
                isChanged = true
            case .failure(let error) where error.isMissing: break
            case .failure(let error): throw .storage(error)
            }
        }
        if isChanged { try volume.sync() }
        journal.clear(after: last)
        return records
    }
}

extension StagingDepot {
    /// - Returns: the record after the writes, whose bytes are on the disk.
    fileprivate func replay(_ entries: [StagingJournalEntry], over record: StagedFile)
        throws(StorageError) -> StagedFile
    {
        let file = try openFile(record.file)
        var record = record
        var dirty = RangeSet()
        for range in record.dirty { dirty.insert(range) }
        for entry in entries {
            let writes = entry.writes
            var position = 0
            for range in writes.ranges {
                defer { position += range.count }
                dirty.insert(range)
                // In the file there may be newer ones already.
                if entry.isInFile { continue }
                // An entry has the bytes of all its ranges.
                let part = writes.bytes.span.extracting(position..<position + range.count)
                try unsafe part.withUnsafeBytes { (bytes) throws(StorageError) in
                    try unsafe file.write(bytes, at: range.lowerBound)
                }
            }
            record.size = writes.size
            record.modified = writes.modified
            record.journal = entry.number
        }
        try file.sync()
        record.dirty = dirty.ranges
        record.isSynced = true
        record.synced = nil
        return record
    }
}

extension StorageError {
    /// Whether there is no such file, as a staging area says it.
    fileprivate var isMissing: Bool {
        switch self {
        case .corrupt: true
        case .io(let code, _): code == ENOENT
        case .full: false
        }
    }
}
