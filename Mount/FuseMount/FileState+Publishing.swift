internal import Base
internal import Chunks
internal import Share

extension FileState {
    /// What a publication must know and give back.
    struct Ticket: Sendable {
        let number: UInt64
        let node: NodeID
        let parents: [UInt64]
        let generation: UInt64
        /// The modification time of the bytes.
        let modified: Timestamp
    }

    /// How publishing begins.
    enum Beginning {
        /// Nothing to publish, or nobody may.
        case nothing
        /// One is under way; another follows it.
        case underway
        /// Small: to be published now, then `end`.
        case now(Ticket, Content)
        /// To be recorded, then given to a job.
        case job(number: UInt64)
    }

    /// What a job works on.
    struct Work: Sendable {
        let ticket: Ticket
        let reader: ContentReader
        let size: UInt64
        let dirty: [Range<UInt64>]
        /// Those that may become chunks where they are.
        let inPlace: [Range<UInt64>]
        /// The base as it is: no bytes lie over it.
        let isStored: Bool
    }

    /// Starts a publication if there is something to publish.
    func begin(number: UInt64) -> Beginning {
        access { state in
            guard state.isDirty, !state.isOrphan, state.isLoaded else { return .nothing }
            guard state.publication == .idle else {
                state.isWanted = true
                return .underway
            }
            state.isWanted = false
            state.isCancelled = false
            if let bytes = state.overlay.memory {
                state.publication = .running(number)
                return .now(state.ticket(number), .inline(bytes))
            }
            guard state.cut(number) else { return .nothing }
            state.publication = .queued(number)
            return .job(number: number)
        }
    }

    /// As `begin`, only for what can be published in the call.
    func beginNow(number: UInt64) -> Beginning {
        access { state in
            guard state.isDirty, !state.isOrphan, state.publication == .idle,
                let bytes = state.overlay.memory
            else { return .nothing }
            state.isCancelled = false
            state.publication = .running(number)
            return .now(state.ticket(number), .inline(bytes))
        }
    }

    /// As `begin`, for a job that makes no version.
    func beginStoring(number: UInt64) -> UInt64? {
        access { state in
            guard state.isDirty, !state.isOrphan, state.publication == .idle,
                state.overlay.memory == nil
            else { return nil }
            guard state.cut(number) else { return nil }
            state.isCancelled = false
            state.publication = .queued(number)
            return number
        }
    }

    /// A job takes the file up.
    ///
    /// - Returns: nil if the file no longer waits for this job: see `endUnstarted`.
    func startWork(number: UInt64, chunks: any ChunkStorage) -> Work? {
        access { state in
            guard state.isAwaiting(number), state.isDirty, !state.isOrphan else { return nil }
            if state.work == nil {
                if let bytes = state.overlay.memory {
                    // Emptied and written small while chunks were fetched.
                    state.work = Work(
                        ticket: state.ticket(number),
                        reader: ContentReader(.inline(bytes), storage: chunks),
                        size: UInt64(bytes.count), dirty: [], inPlace: [], isStored: true)
                } else if !state.cut(number) {
                    return nil
                }
            }
            state.publication = .running(number)
            return state.work
        }
    }

    /// The job has the bytes in chunks and goes on with other files.
    func endBuilding(number: UInt64) {
        access { state in
            if state.publication == .running(number) { state.publication = .stored(number) }
        }
    }

    /// The job goes on with the file.
    ///
    /// - Returns: whether it still may.
    func resumeWork(number: UInt64) -> Bool {
        access { state in
            guard state.publication == .stored(number) else { return false }
            state.publication = .running(number)
            return true
        }
    }

    /// The job could not begin.
    ///
    /// - Returns: nil if the file waits for another.
    func endUnstarted(number: UInt64) -> Ending? {
        access { state in
            guard state.isAwaiting(number) else { return nil }
            var ending = state.end()
            ending.leftovers = state.overlay.abandonCut()
            return ending
        }
    }

    /// Bytes of the cut; `gaps` are the base's.
    func readCut(
        _ range: Range<UInt64>, into buffer: UnsafeMutableRawBufferPointer,
        gaps: inout [Range<UInt64>]
    ) throws(StorageError) {
        try access { (state) throws(StorageError) in
            guard let cut = state.overlay.cut, !cut.isAbandoned, !state.isCancelled else {
                throw .io(code: ErrorCode.cancelled, action: "publishing")
            }
            try unsafe state.overlay.readCut(range, into: buffer, gaps: &gaps)
        }
    }

    /// Parts of what is in place are to become chunks there: from now on nothing changes them.
    ///
    /// - Returns: nil if somebody changed them since the cut.
    func freeze(_ ranges: [Range<UInt64>]) -> StagedData? {
        access { state in
            state.isCancelled ? nil : state.overlay.freeze(ranges)
        }
    }

    func cutStretch(at offset: UInt64) -> Overlay.Stretch? {
        access { $0.overlay.cut?.stretch(at: offset) }
    }

    var isCancelled: Bool { access { $0.isCancelled || $0.isOrphan } }

    /// Whether too much was overwritten for the job to go on; another begins when it is quiet.
    var isOvertaken: Bool { access { $0.overlay.cut?.isAbandoned ?? false } }
}

extension FileState.State {
    func isAwaiting(_ number: UInt64) -> Bool {
        publication == .queued(number) || publication == .fetching(number)
    }

    /// Freezes the bytes for a job.
    mutating func cut(_ number: UInt64) -> Bool {
        guard let reader, overlay.cut == nil, overlay.memory == nil else { return false }
        let cut = overlay.beginCut()
        work = FileState.Work(
            ticket: ticket(number), reader: reader, size: cut.size, dirty: cut.dirty.ranges,
            inPlace: cut.inPlace.ranges,
            isStored: cut.dirty.isEmpty && cut.size == reader.size)
        return true
    }

    func ticket(_ number: UInt64) -> FileState.Ticket {
        FileState.Ticket(
            number: number, node: node, parents: parents, generation: generation,
            modified: modified)
    }
}
