internal import Base
internal import Share
internal import Synchronization

/// Makes files durable through the staging area's journal, and knows whose bytes it holds.
final class SyncJournal: Sendable {
    private let journal: (any StagingJournal)?
    /// Those with entries since the journal was emptied.
    private let files = Mutex<[ObjectIdentifier: FileState]>([:])
    private let isEmptying = Atomic(false)

    init(_ journal: (any StagingJournal)?) { self.journal = journal }

    /// Makes what was written of a file durable, if a record of it is and little came since.
    ///
    /// - Returns: false if a record must be made.
    func sync(_ file: FileState) throws(StorageError) -> Bool {
        guard let journal, !journal.isClosed else { return false }
        return try file.telling.withLock { _ throws(StorageError) in
            guard let entry = try file.takeUnsynced() else { return false }
            var isDurable = write(entry.writes, of: file, to: journal)
            if isDurable {
                do throws(StorageError) {
                    try journal.sync()
                } catch {
                    isDurable = false
                }
            }
            file.endSync(of: entry, isDurable: isDurable)
            return isDurable
        }
    }

    private func write(_ writes: StagedWrites, of file: FileState, to journal: any StagingJournal)
        -> Bool
    {
        // Together: who empties the journal must know of the file.
        files.withLock { files in
            guard files.count < MountLimits.journaledFilesMax else {
                journal.close()
                return false
            }
            files[ObjectIdentifier(file)] = file
            return journal.write(writes)
        }
    }

    /// Empties the journal if it is full.
    ///
    /// - Parameter record: makes durable records of files.
    func emptyIfFull(
        _ record: (_ files: [FileState]) throws(VolumeError) -> Void
    ) throws(VolumeError) {
        guard let journal, journal.isClosed, !isEmptying.exchange(true, ordering: .acquiring) else {
            return
        }
        defer { isEmptying.store(false, ordering: .releasing) }
        // Until it is emptied nothing is added.
        try record(
            files.withLock { $0.values.sorted { $0.id.rawValue < $1.id.rawValue } })
        files.withLock { files in
            files = [:]
            journal.clear(after: 0)
        }
    }
}
