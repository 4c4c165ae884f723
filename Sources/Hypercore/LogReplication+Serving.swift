internal import Base

extension LogReplication {
    /// What the remote was told and what it still waits for.
    struct Service {
        enum Waiting {
            case request(RequestMessage)
            case want(WantMessage)

            var requestID: UInt64? {
                if case .request(let request) = self { request.id } else { nil }
            }

            var priority: UInt64 {
                if case .request(let request) = self { request.priority } else { 0 }
            }
        }

        var lastSync: SyncMessage?
        /// The blocks that the remote was told are here.
        var announced = BlockSet()
        var announcedGeneration = -1
        /// Questions that wait for the connection to drain, in the order of answering.
        var waiting: [Waiting] = []
        var queuedBytes = 0
        var invalidRequests = 0
        /// The greatest length that was proved to the remote here.
        var provedLength: UInt64 = 0
    }

    // MARK: News

    /// Says what this side has, unless nothing changed since it was last said.
    mutating func sendSync(into effects: inout [Effect]) throws(StorageError) {
        let sameFork = remote.sync.map { $0.fork == log.fork } ?? false
        let sync = SyncMessage(
            fork: log.fork, length: shownLength,
            remoteLength: sameFork ? remote.sync?.length ?? 0 : 0,
            canUpgrade: try canUpgrade(), uploading: true, downloading: true,
            hasManifest: log.rules.map { !$0.isCompat } ?? false)
        guard sync != service.lastSync else { return }
        service.lastSync = sync
        send(.sync, sync, into: &effects)
    }

    /// How much of the log the remote is to know of.
    private var shownLength: UInt64 {
        guard isWithheld else { return log.length }
        let known = remote.sync.map { $0.fork == log.fork ? $0.length : 0 } ?? 0
        return min(known, log.length)
    }

    /// Whether this side can prove to the remote how its log continues the remote's.
    private func canUpgrade() throws(StorageError) -> Bool {
        guard let sync = remote.sync else { return true }
        guard sync.fork == log.fork else { return false }
        if sync.length == 0 { return true }
        guard sync.length < shownLength else { return false }
        if log.contiguousLength >= sync.length { return true }
        for root in FlatTree.fullRoots(length: sync.length) {
            guard try log.node(at: root) != nil else { return false }
        }
        return true
    }

    /// Tells which blocks came and went since the last time.
    ///
    /// While more blocks are under way the news wait a little, so that a long fetch does not tell each
    /// block by itself.
    mutating func announceIfDue(into effects: inout [Effect]) {
        let changes = log.heldGeneration &- service.announcedGeneration
        guard !isWithheld, changes != 0,
            log.requested.isEmpty || changes >= Limits.unannouncedMax
        else { return }
        let held = log.held
        for run in service.announced.subtracting(held) {
            let message = RangeMessage(
                drop: true, start: run.lowerBound, length: UInt64(run.count))
            send(.range, message, into: &effects)
        }
        for run in held.subtracting(service.announced) {
            // News that reach the front are told as the front: the remote counts from there.
            let start = run.upperBound <= held.contiguousLength ? 0 : run.lowerBound
            let message = RangeMessage(start: start, length: run.upperBound &- start)
            send(.range, message, into: &effects)
        }
        service.announced = held
        service.announcedGeneration = log.heldGeneration
    }

    // MARK: Questions

    mutating func receive(
        _ message: RequestMessage, into effects: inout [Effect]
    ) throws(StorageError) {
        try enqueue(.request(message), into: &effects)
    }

    mutating func receive(
        _ message: WantMessage, into effects: inout [Effect]
    ) throws(StorageError) {
        guard message.length > 0, message.length <= Limits.wantLengthMax else { return }
        try enqueue(.want(message), into: &effects)
    }

    private mutating func enqueue(
        _ question: Service.Waiting, into effects: inout [Effect]
    ) throws(StorageError) {
        guard service.waiting.count < Limits.waitingRequestsMax else {
            return violate("too many questions at once", into: &effects)
        }
        let place =
            question.priority == 0
            ? nil : service.waiting.firstIndex { $0.priority < question.priority }
        service.waiting.insert(question, at: place ?? service.waiting.count)
        try serve(into: &effects)
    }

    /// Answers what waits, as long as the connection is not full.
    mutating func serve(into effects: inout [Effect]) throws(StorageError) {
        var queuedBytes = service.queuedBytes
        var answered = 0
        // What was answered, or could not be read, does not wait any more.
        defer { service.waiting.removeFirst(min(answered, service.waiting.count)) }
        while answered < service.waiting.count, queuedBytes < Limits.queuedBytesMax {
            let question = service.waiting[answered]
            let effectCount = effects.count
            answered += 1
            switch question {
            case .request(let request): try answer(request, into: &effects)
            case .want(let want): answer(want, into: &effects)
            }
            guard phase == .open else { return }
            for effect in effects[effectCount...] {
                if case .send(_, let payload) = effect { queuedBytes += payload.count }
            }
        }
    }

    private mutating func answer(
        _ request: RequestMessage, into effects: inout [Effect]
    ) throws(StorageError) {
        var reason = NoDataMessage.Reason.notAvailable
        var proof: Proof?
        do throws(ProofRefusal) {
            proof = try log.proof(for: request)
        } catch {
            switch error {
            case .storage(let error):
                // The asker need not wait for what cannot be read here.
                let message = NoDataMessage(request: request.id, reason: reason.rawValue)
                send(.noData, message, into: &effects)
                throw error
            case .notAvailable: break
            case .invalid(let what):
                guard !request.asksForManifestOnly else { break }
                service.invalidRequests += 1
                guard service.invalidRequests < Limits.invalidRequestsMax else {
                    return violate("request: \(what)", into: &effects)
                }
                reason = .invalidRequest
            }
        }
        if request.manifest, request.fork == log.fork, let rules = log.rules, !rules.isCompat {
            proof = proof ?? Proof(fork: request.fork)
            proof?.manifest = rules.manifest
        }
        if let proof {
            if proof.upgrade != nil, request.id != 0 {
                service.provedLength = max(service.provedLength, log.length)
            }
            let data = DataMessage(request: request.id, proof: proof)
            effects.append(
                .send(
                    type: MessageType.data.rawValue,
                    payload: data.encoded(reserving: data.sizeEstimate)))
        } else {
            send(
                .noData, NoDataMessage(request: request.id, reason: reason.rawValue),
                into: &effects)
        }
    }

    private func answer(_ want: WantMessage, into effects: inout [Effect]) {
        guard !isWithheld else { return }
        let held = log.held
        var range = want.start..<want.start &+ want.length
        if want.any {
            if let first = held.firstPresent(from: range.lowerBound), first < range.upperBound {
                send(.range, RangeMessage(start: first, length: 1), into: &effects)
            }
            return
        }
        // A range that is not a proper one counts as everything, as far as one message goes.
        let isProper =
            want.length >= 32 && want.length.nonzeroBitCount == 1
            && want.start % want.length == 0
        if !isProper { range = 0..<Limits.wantLengthMax }
        let end = min(range.upperBound, log.length)
        guard range.lowerBound < end else { return }
        if held.contiguousLength >= end {
            let message = RangeMessage(start: 0, length: held.contiguousLength)
            send(.range, message, into: &effects)
        } else {
            send(.bitfield, bitfield(held, in: range.lowerBound..<end), into: &effects)
        }
    }

    private func bitfield(_ held: BlockSet, in range: Range<UInt64>) -> BitfieldMessage {
        // At most `wantLengthMax` blocks: the range comes from a Want.
        let count = Int(truncatingIfNeeded: (range.upperBound &- range.lowerBound &+ 31) / 32)
        var words = [UInt32](repeating: 0, count: count)
        var index = range.lowerBound
        while let start = held.firstPresent(from: index), start < range.upperBound {
            let end = min(held.firstAbsent(from: start), range.upperBound)
            for block in start..<end {
                let bit = block &- range.lowerBound
                words[Int(truncatingIfNeeded: bit / 32)] |=
                    1 &<< UInt32(truncatingIfNeeded: bit % 32)
            }
            index = end
        }
        return BitfieldMessage(start: range.lowerBound, words: words)
    }
}

extension RequestMessage {
    fileprivate var asksForManifestOnly: Bool {
        manifest && block == nil && hash == nil && seek == nil && upgrade == nil
    }
}
