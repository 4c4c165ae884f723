internal import Base
internal import Share
internal import Synchronization

/// What a crash must leave: records of what is staged, and syncs.
extension Publisher {
    /// Remembers what is staged of a file for a crash.
    func record(_ file: FileState, again: Bool = false) throws(VolumeError) {
        try record(file, again: again, isSynced: false)
    }

    /// - Returns: the record's number, if one was needed.
    @discardableResult
    func record(_ file: FileState, again: Bool, isSynced: Bool) throws(VolumeError)
        -> UInt64?
    {
        // After a crash it would be taken for bytes that bring the file back.
        if file.isGoneElsewhere, let attributes = try? volume.attributes(of: file.node),
            attributes.links == 0
        {
            return nil
        }
        return try file.telling.withLock { _ throws(VolumeError) in
            let record = try lift { () throws(StorageError) in
                let record = try file.record(in: depot, again: again, isSynced: isSynced)
                if isSynced { try record?.bytes.sync() }
                return record
            }
            guard let record else { return nil }
            try volume.recordStaged(record.staged)
            file.recorded(record)
            return record.number
        }
    }

    /// The file's content goes on under another node.
    ///
    /// - Parameter parents: what its next version follows, if that is another too.
    func rebind(_ file: FileState, to node: NodeID, parents: [UInt64]?) throws(VolumeError) {
        let hadRecord = try file.telling.withLock { _ throws(VolumeError) in
            let old = file.node
            guard file.rebind(to: node, parents: parents) else { return false }
            try volume.forgetStaged(old)
            return true
        }
        if hadRecord { try record(file, again: true, isSynced: true) }
    }

    /// The file has no name any more: nothing of it will be published.
    func orphan(_ file: FileState) throws(VolumeError) {
        try file.telling.withLock { _ throws(VolumeError) in
            let node = file.node
            if file.makeOrphan() { try volume.forgetStaged(node) }
        }
    }

    /// What fsync asks for: everything written so far survives a crash.
    func makeDurable(_ file: FileState) throws(VolumeError) {
        // Nobody will find it after a crash.
        if file.isOrphan { return }
        if case .now(let ticket, let content) = file.beginNow(number: nextNumber()) {
            try publishNow(content, of: file, ticket)
            return try volume.sync()
        }
        if try lift({ () throws(StorageError) in try journal.sync(file) }) {
            return try volume.sync()
        }
        try recordDurably([file])
        do {
            try journal.emptyIfFull { files throws(VolumeError) in try recordDurably(files) }
        } catch {
            log("syncing takes longer until there is room: \(error)")
        }
    }

    private func recordDurably(_ files: [FileState]) throws(VolumeError) {
        var records: [(file: FileState, number: UInt64)] = []
        for file in files {
            let number = try record(file, again: true, isSynced: true)
            if let number { records.append((file, number)) }
        }
        try volume.sync()
        for (file, number) in records { file.recordIsDurable(number) }
    }
}
