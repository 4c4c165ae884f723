internal import Base
internal import Wire

extension LogReplication {
    /// What is known of the remote's log, all of it claims.
    struct Remote {
        /// The last Sync; nil before the first.
        var sync: SyncMessage?
        /// The blocks it says it has.
        var blocks = BlockSet()
        /// Blocks it did not give although it says it has them.
        var refused = BlockSet()
        var refusals = 0
        /// The last `remoteAcknowledged`.
        var acknowledged: UInt64 = 0
    }

    /// What was asked of the remote.
    struct Fetch {
        var inFlight: [UInt64: Pending] = [:]
        var nextID: UInt64 = 1
        /// Tree nodes that answers in flight will teach, if they come in order.
        var expected: Set<UInt64> = []
        /// The log's length once those answers are in.
        var expectedLength: UInt64 = 0
        /// Counts how often `expected` had to be given up; requests of an older count are not to
        /// blame for more.
        var disorder = 0
        var isUpgradeRefused = false
        /// The first segment of the log that no Want has named yet.
        var nextWant: UInt64 = 0
        /// Why the remote, or else the log's writer, is suspected; a proof from zero is under way.
        var suspicion: String?
        var unaskedProofs = 0
        /// The greatest length at which the remote's copy was, or is being, compared with ours.
        var comparedLength: UInt64 = 0
        /// Proofs from zero that were asked for to compare, and have not come.
        var comparisons = 0
        /// The last `shared`.
        var sharedLength: UInt64 = 0
        /// How many first blocks the remote was asked to prove, for `prefix`.
        var prefixAsked: UInt64?
        /// Since when the remote claims more of the writer's own log than it can show to follow on what is here; and
        /// the length of which it was asked to prove that the writer signed it.
        var unfollowedSince: Instant?
        var longerAsked: UInt64?
        /// Two histories are known: nothing is fetched any more.
        var isFrozen = false
        /// Answers received, and how many it were at the last tick that saw progress.
        var answers = 0
        var answersAtTick = 0
        var waitingSince: Instant?
        /// Left requests unanswered: it gets one at a time until it answers.
        var isSlow = false

        var isWaiting: Bool { !inFlight.isEmpty || suspicion != nil }
        /// Whether requests may build on answers that are not in yet.
        var buildsAhead: Bool { disorder < Limits.disorderMax }
    }

    /// A request without its answer.
    struct Pending {
        var fork: UInt64
        var block: UInt64?
        /// Parents asked for above the block's leaf.
        var steps: UInt64 = 0
        /// The path ends at a node that another answer has to bring first.
        var buildsAhead = false
        /// `Fetch.disorder` when it was sent.
        var disorder = 0
        var upgradeStart: UInt64?
        /// The nodes in `expected` because of the upgrade.
        var expectedByUpgrade: [UInt64] = []
        /// The whole of a higher fork is asked for.
        var isReorganisation = false
    }

    // MARK: What the remote says

    mutating func receive(
        _ message: SyncMessage, into effects: inout [Effect]
    ) throws(StorageError) {
        let isNews = message.length != remote.sync?.length
        let isNewFork = message.fork != remote.sync?.fork
        remote.sync = message
        if isNews || isNewFork { remote.refusals = 0 }
        if isNewFork { remote.refused = BlockSet() }
        fetch.isUpgradeRefused = false
        if isNews { effects.append(.remoteLength(message.length)) }
        // It has taken what was proved to it.
        if message.fork == log.fork, message.length == service.provedLength {
            noteShared(message.length, into: &effects)
        }
        if message.fork == log.fork, isWithheld || log.length > message.length {
            try sendSync(into: &effects)
        }
        compareIfDue(into: &effects)
        try schedule(into: &effects)
    }

    /// Logs of one length bring no proof that they are the same: one is asked for when a remote opens, and
    /// by the writer whenever a copy of its log grew by other hands than this channel's.
    private mutating func compareIfDue(into effects: inout [Effect]) {
        guard let sync = remote.sync, sync.fork == log.fork, sync.uploading, sync.length > 0,
            sync.length == log.length || log.isWritable && sync.length < log.length,
            sync.length > max(fetch.comparedLength, service.provedLength),
            log.isWritable || fetch.comparedLength == 0,
            !fetch.isFrozen, fetch.suspicion == nil
        else { return }
        fetch.comparedLength = sync.length
        fetch.comparisons += 1
        askFromZero(sync.length, into: &effects)
    }

    /// What the remote has proved is not taken, for it came too late: it may be another history than what another peer
    /// brought meanwhile, and the remote takes the equal lengths for a sign that it was taken.
    private mutating func compareAnew(into effects: inout [Effect]) {
        guard phase == .open, fetch.comparisons == 0 else { return }
        fetch.comparedLength = 0
        compareIfDue(into: &effects)
    }

    /// Asks what the remote's log was after so many blocks, at most `remoteLength`: `prefix` tells. Nothing
    /// may come of it; then it is asked again.
    package mutating func askPrefix(_ length: UInt64, into effects: inout [Effect]) {
        guard phase == .open, !fetch.isFrozen, let sync = remote.sync, sync.fork == log.fork,
            length > 0, length <= sync.length
        else { return }
        fetch.prefixAsked = length
        askFromZero(length, into: &effects)
    }

    /// A device that was restored must learn that there is more of a log also where who has it began to copy it
    /// after that, and lacks the tree nodes between. Others are given the time to come and show the whole of it.
    mutating func askWhetherLonger(now: Instant, into effects: inout [Effect]) {
        guard let sync = remote.sync, log.length > 0, sync.fork == log.fork, sync.uploading,
            sync.length > log.length, !fetch.isFrozen, fetch.suspicion == nil, !canBeFollowed
        else {
            fetch.unfollowedSince = nil
            return
        }
        let since = fetch.unfollowedSince ?? now
        fetch.unfollowedSince = since
        guard now - since >= Limits.unfollowedPatience, fetch.longerAsked != sync.length else {
            return
        }
        fetch.longerAsked = sync.length
        askFromZero(sync.length, into: &effects)
    }

    /// Whether the remote can show how its copy goes on from what is here.
    package var canBeFollowed: Bool {
        guard let sync = remote.sync, sync.length > log.length else { return true }
        return !fetch.isUpgradeRefused && (sync.canUpgrade || sync.remoteLength != log.length)
    }

    private func askFromZero(_ length: UInt64, into effects: inout [Effect]) {
        let request = RequestMessage(
            id: 0, fork: log.fork, upgrade: .init(start: 0, length: length))
        send(.request, request, into: &effects)
    }

    mutating func receive(
        _ message: RangeMessage, into effects: inout [Effect]
    ) throws(StorageError) {
        let start = min(message.start, Limits.lengthMax)
        let range = start..<min(start &+ message.length, Limits.lengthMax)
        guard message.length <= Limits.lengthMax, !range.isEmpty else { return }
        if message.drop {
            guard hasRoom(for: range) else { return }
            remote.blocks.remove(range)
        } else {
            // The front of the log is always remembered, however scattered the rest is.
            guard start == 0 || hasRoom(for: range) else { return }
            remote.blocks.insert(range)
            remote.refused.remove(range)
        }
        noteAcknowledgement(into: &effects)
        try schedule(into: &effects)
    }

    mutating func receive(
        _ message: BitfieldMessage, into effects: inout [Effect]
    ) throws(StorageError) {
        guard message.start % 32 == 0, message.start < Limits.lengthMax else { return }
        let end = message.start &+ 32 &* UInt64(message.words.count)
        guard hasRoom(for: message.start..<end) else { return }
        remote.blocks.remove(message.start..<end)
        remote.refused.remove(message.start..<end)
        var runStart: UInt64?
        for (position, word) in message.words.enumerated() {
            let first = message.start &+ 32 &* UInt64(position)
            if word == (runStart == nil ? 0 : .max) { continue }
            for bit in 0..<32 {
                let index = first &+ UInt64(bit)
                let isSet = word &>> UInt32(bit) & 1 != 0
                if isSet, runStart == nil { runStart = index }
                if !isSet, let start = runStart {
                    if hasRoom(for: start..<index) { remote.blocks.insert(start..<index) }
                    runStart = nil
                }
            }
        }
        if let runStart { remote.blocks.insert(runStart..<end) }
        noteAcknowledgement(into: &effects)
        try schedule(into: &effects)
    }

    private func hasRoom(for range: Range<UInt64>) -> Bool {
        remote.blocks.runs.count < Limits.remoteRunsMax
            || remote.blocks.contains(range.lowerBound)
    }

    mutating func noteAcknowledgement(into effects: inout [Effect]) {
        let acknowledged = min(remote.blocks.contiguousLength, log.length)
        guard acknowledged != remote.acknowledged else { return }
        remote.acknowledged = acknowledged
        effects.append(.remoteAcknowledged(acknowledged))
    }

    // MARK: Answers

    mutating func receive(
        _ message: DataMessage, payload: Span<UInt8>, into effects: inout [Effect]
    ) throws(StorageError) {
        guard message.request != 0 else {
            return try receiveUnasked(message.proof, payload: payload, into: &effects)
        }
        let proof = message.proof
        guard let pending = takePending(message.request, into: &effects) else {
            if proof.upgrade != nil { compareAnew(into: &effects) }
            return
        }
        guard proof.fork == pending.fork, proof.hash == nil, proof.seek == nil,
            proof.block == nil || proof.block?.index == pending.block,
            proof.upgrade == nil || proof.upgrade?.start == pending.upgradeStart
        else { return violate("an answer to something else", into: &effects) }
        do throws(ProofError) {
            try take(proof, for: pending, into: &effects)
        } catch {
            switch error {
            case .storage(let error): throw error
            case .malformed(let what): return violate("proof: \(what)", into: &effects)
            case .refuted(let what): return suspect("proof: \(what)", into: &effects)
            case .stale: if proof.upgrade != nil { compareAnew(into: &effects) }
            case .unknownRoot where pending.buildsAhead: noteDisorder(pending)
            case .unknownRoot:
                return violate("proof: ends at an unknown node", into: &effects)
            }
        }
        try schedule(into: &effects)
    }

    mutating func receive(
        _ message: NoDataMessage, into effects: inout [Effect]
    ) throws(StorageError) {
        if message.request == 0 {
            if let suspicion = fetch.suspicion { return violate(suspicion, into: &effects) }
            // Answered in the order of asking, and comparisons come first.
            if fetch.comparisons > 0 {
                fetch.comparisons -= 1
            } else if let asked = fetch.prefixAsked {
                fetch.prefixAsked = nil
                effects.append(.noPrefix(asked))
            }
            return
        }
        guard let pending = takePending(message.request, into: &effects) else { return }
        // A refusal for the fork that the remote has left says nothing about its new one.
        if pending.fork == remote.sync?.fork {
            remote.refusals += 1
            if let block = pending.block { remote.refused.insert(block) }
        }
        if pending.upgradeStart != nil { fetch.isUpgradeRefused = true }
        effects.append(.released)
        try schedule(into: &effects)
    }

    private mutating func takePending(
        _ id: UInt64, into effects: inout [Effect]
    ) -> Pending? {
        guard let pending = fetch.inFlight.removeValue(forKey: id) else {
            // Unknown ids below the next one belong to requests that were taken back.
            if id >= fetch.nextID {
                violate("an answer to a request that was never made", into: &effects)
            }
            return nil
        }
        release(pending)
        fetch.answers &+= 1
        fetch.isSlow = false
        return pending
    }

    private mutating func take(
        _ proof: Proof, for pending: Pending, into effects: inout [Effect]
    ) throws(ProofError) {
        guard pending.isReorganisation || pending.fork == log.fork else { throw .stale }
        let isBlockNeeded = pending.block.map { !log.hasBlock(at: $0) } ?? false
        let (oldLength, oldFork) = (log.length, log.fork)
        if isBlockNeeded || pending.upgradeStart != nil {
            let verified =
                pending.isReorganisation
                ? try log.verifyReorganisation(proof) : try log.verify(proof)
            do throws(StorageError) { try log.store(verified) } catch { throw .storage(error) }
            if let common = verified.commonLength, common < oldLength {
                effects.append(.truncated(common))
            }
        }
        if pending.upgradeStart != nil, proof.upgrade == nil { fetch.isUpgradeRefused = true }
        if log.length != oldLength || log.fork != oldFork {
            fetch.comparedLength = log.length
            effects.append(.upgraded(log.length))
            noteAcknowledgement(into: &effects)
            do throws(StorageError) { try sendSync(into: &effects) } catch {
                throw .storage(error)
            }
        }
        guard let block = pending.block, isBlockNeeded else { return }
        if log.hasBlock(at: block) {
            effects.append(.stored(block..<block &+ 1))
            announceIfDue(into: &effects)
        } else {
            remote.refusals += 1
            remote.refused.insert(block)
            effects.append(.released)
        }
    }

    /// An answer came before the one it builds on, or that one never comes.
    private mutating func noteDisorder(_ pending: Pending) {
        guard pending.disorder == fetch.disorder else { return }
        fetch.disorder += 1
        fetch.expected.removeAll(keepingCapacity: true)
        fetch.expectedLength = log.length
    }

    // MARK: Two histories

    /// What the remote sent is not what this log's writer signed: either the remote made it up or the
    /// writer signed two histories. A proof from zero tells which.
    private mutating func suspect(_ reason: String, into effects: inout [Effect]) {
        guard log.length > 0, let length = remote.sync?.length, length > 0 else {
            return violate(reason, into: &effects)
        }
        releaseEverything()
        effects.append(.released)
        fetch.suspicion = reason
        askFromZero(min(length, log.length), into: &effects)
    }

    /// Data with request 0: a proof from zero that shows two histories, or a push, which is ignored.
    private mutating func receiveUnasked(
        _ proof: Proof, payload: Span<UInt8>, into effects: inout [Effect]
    ) throws(StorageError) {
        guard proof.upgrade?.start == 0, !fetch.isFrozen else { return }
        if let asked = fetch.prefixAsked, proof.upgrade?.length == asked, fetch.suspicion == nil {
            fetch.prefixAsked = nil
            return try takePrefix(proof, into: &effects)
        }
        if fetch.suspicion == nil, let asked = fetch.longerAsked, proof.upgrade?.length == asked {
            fetch.longerAsked = nil
            return try takeLonger(proof, payload: payload, into: &effects)
        }
        if fetch.suspicion == nil {
            guard log.length > 0 else { return }
            if fetch.comparisons > 0 {
                fetch.comparisons -= 1
            } else {
                guard fetch.unaskedProofs < Limits.unaskedProofsMax else { return }
                fetch.unaskedProofs += 1
            }
        }
        do throws(ProofError) {
            switch try log.compare(with: proof) {
            case .different(let common):
                fetch.isFrozen = true
                fetch.suspicion = nil
                releaseEverything()
                effects.append(.released)
                effects.append(.conflict(common: common, proof: [UInt8](copying: payload)))
                try tellOwnHistory(into: &effects)
            case .same(let length) where fetch.suspicion == nil:
                noteShared(length, into: &effects)
            case .same, .unknown:
                if let suspicion = fetch.suspicion { violate(suspicion, into: &effects) }
            }
        } catch {
            switch error {
            case .storage(let error): throw error
            case .malformed(let what), .refuted(let what):
                violate("proof from zero: \(what)", into: &effects)
            case .stale, .unknownRoot:
                if let suspicion = fetch.suspicion { violate(suspicion, into: &effects) }
            }
        }
    }

    private mutating func noteShared(_ length: UInt64, into effects: inout [Effect]) {
        guard log.isWritable, !fetch.isFrozen, length > fetch.sharedLength else { return }
        fetch.sharedLength = length
        effects.append(.shared(length))
    }

    private mutating func takePrefix(
        _ proof: Proof, into effects: inout [Effect]
    ) throws(StorageError) {
        do throws(ProofError) {
            effects.append(.prefix(try log.prefix(from: proof)))
        } catch {
            try judge(error, into: &effects)
        }
    }

    private mutating func takeLonger(
        _ proof: Proof, payload: Span<UInt8>, into effects: inout [Effect]
    ) throws(StorageError) {
        do throws(ProofError) {
            guard log.isWritable else { return try leap(proof, into: &effects) }
            guard let common = try log.leastCommon(withLonger: proof) else { return }
            fetch.isFrozen = true
            releaseEverything()
            effects.append(.released)
            effects.append(.unfollowed(common: common, proof: [UInt8](copying: payload)))
        } catch {
            try judge(error, into: &effects)
        }
    }

    private mutating func leap(_ proof: Proof, into effects: inout [Effect]) throws(ProofError) {
        guard let signature = proof.upgrade?.signature else { return }
        let signed = try log.signedTree(from: proof)
        do throws(StorageError) {
            // That it is longer is news all the same.
            guard try log.leap(to: signed, signature) else { return effects.append(.released) }
            releaseEverything()
            fetch.comparedLength = log.length
            fetch.isUpgradeRefused = false
            effects.append(.upgraded(log.length))
            noteAcknowledgement(into: &effects)
            try sendSync(into: &effects)
            try schedule(into: &effects)
        } catch {
            throw .storage(error)
        }
    }

    /// What a proof from zero that tells nothing says of the remote.
    private mutating func judge(_ error: ProofError, into effects: inout [Effect])
        throws(StorageError)
    {
        switch error {
        case .storage(let error): throw error
        case .malformed(let what), .refuted(let what):
            violate("proof from zero: \(what)", into: &effects)
        case .stale, .unknownRoot: break
        }
    }

    /// The remote learns of the two histories too: its own copy may be the writer's.
    private func tellOwnHistory(into effects: inout [Effect]) throws(ProofError) {
        let length = min(log.length, remote.sync?.length ?? log.length)
        let request = RequestMessage(
            id: 0, fork: log.fork, upgrade: .init(start: 0, length: length))
        do throws(ProofRefusal) {
            let data = DataMessage(request: 0, proof: try log.proof(for: request))
            send(.data, data, into: &effects)
        } catch {
            if case .storage(let error) = error { throw .storage(error) }
        }
    }

    // MARK: Asking

    /// Asks for what is missing and the remote has, as far as the window goes.
    mutating func schedule(into effects: inout [Effect]) throws(StorageError) {
        guard phase == .open, let sync = remote.sync, sync.uploading, !fetch.isFrozen,
            fetch.suspicion == nil, remote.refusals < Limits.refusalsMax
        else { return }
        guard sync.fork == log.fork else { return askForFork(sync, into: &effects) }
        if log.upgradeOwner != identity { fetch.expectedLength = log.length }
        askForUpgrade(sync, into: &effects)
        try askForBlocks(into: &effects)
        if !fetch.isWaiting { askWhatThereIs(sync, into: &effects) }
    }

    /// One request for the new length and, if nothing older is missing, the first new block.
    private mutating func askForUpgrade(_ sync: SyncMessage, into effects: inout [Effect]) {
        guard log.upgradeOwner == nil, !fetch.isUpgradeRefused, sync.canUpgrade,
            sync.length > log.length, !fetch.isSlow || fetch.inFlight.isEmpty
        else { return }
        // The remote answers for sure if it knows our length or has everything we have.
        guard sync.remoteLength == log.length || remote.blocks.contains(0..<log.length) else {
            return
        }
        var pending = Pending(fork: log.fork, upgradeStart: log.length)
        var request = RequestMessage(
            id: fetch.nextID, fork: log.fork,
            upgrade: .init(start: log.length, length: sync.length &- log.length),
            manifest: log.rules == nil && sync.hasManifest)
        if fetch.inFlight.count < window, let block = nextBlock(below: sync.length),
            block >= log.length
        {
            pending.block = block
            request.block = .init(index: block, nodes: 0)
            log.requested.insert(block)
        }
        if fetch.buildsAhead {
            expectUpgrade(to: sync.length, &pending)
            fetch.expectedLength = sync.length
        }
        log.upgradeOwner = identity
        ask(request, pending, into: &effects)
    }

    private mutating func askForBlocks(into effects: inout [Effect]) throws(StorageError) {
        let window = window
        while fetch.inFlight.count < window,
            let block = nextBlock(below: fetch.expectedLength),
            let path = try missingPath(above: block)
        {
            let pending = Pending(
                fork: log.fork, block: block, steps: path.steps,
                buildsAhead: path.buildsAhead, disorder: fetch.disorder)
            log.requested.insert(block)
            if fetch.buildsAhead { expectPath(pending) }
            ask(
                RequestMessage(
                    id: fetch.nextID, fork: log.fork,
                    block: .init(index: block, nodes: path.steps)),
                pending, into: &effects)
        }
    }

    /// Asks for the whole of a higher fork, if this log may go over to it.
    private mutating func askForFork(_ sync: SyncMessage, into effects: inout [Effect]) {
        guard sync.fork > log.fork, log.length == 0 || followsForks, sync.length > 0,
            log.upgradeOwner == nil, !fetch.isUpgradeRefused
        else { return }
        log.upgradeOwner = identity
        ask(
            RequestMessage(
                id: fetch.nextID, fork: sync.fork,
                upgrade: .init(start: 0, length: sync.length),
                manifest: log.rules == nil && sync.hasManifest),
            Pending(fork: sync.fork, upgradeStart: 0, isReorganisation: true), into: &effects)
    }

    /// Blocks are missing and the remote has not said whether it has them.
    private mutating func askWhatThereIs(
        _ sync: SyncMessage, into effects: inout [Effect]
    ) {
        guard fetch.nextWant < UInt64(Limits.wantsMax) else { return }
        guard let missing = log.sought.firstPresent(from: 0) ?? firstUnknown() else { return }
        let segment = max(missing / Limits.wantLengthMax, fetch.nextWant)
        let start = segment &* Limits.wantLengthMax
        guard missing < log.length, start < min(log.length, sync.length) else { return }
        fetch.nextWant = segment &+ 1
        let want = WantMessage(start: start, length: Limits.wantLengthMax)
        send(.want, want, into: &effects)
    }

    /// The first block that is wanted and that the remote has not said to have.
    private func firstUnknown() -> UInt64? {
        var missing = max(log.contiguousLength, log.fetchStart)
        while missing < log.length {
            let next = remote.blocks.firstAbsent(from: log.held.firstAbsent(from: missing))
            guard let wanted = log.firstWanted(from: next) else { return nil }
            missing = wanted
            if wanted == next { break }
        }
        return missing
    }

    private mutating func ask(
        _ request: RequestMessage, _ pending: Pending, into effects: inout [Effect]
    ) {
        fetch.inFlight[request.id] = pending
        fetch.nextID &+= 1
        send(.request, request, into: &effects)
    }

    /// How many requests may be in flight, going by the average size of a block.
    private var window: Int {
        if fetch.isSlow { return 1 }
        let average = log.length == 0 ? 16 << 10 : log.byteLength / log.length &+ 64
        return Int(
            min(
                max(Limits.bytesInFlight / average, UInt64(Limits.requestsInFlightMin)),
                UInt64(Limits.requestsInFlightMax)))
    }

    /// The first block that is neither here nor asked for and that the remote has.
    private func nextBlock(below limit: UInt64) -> UInt64? {
        if let block = nextSought(below: limit) { return block }
        var block = max(log.contiguousLength, log.fetchStart)
        while block < limit {
            var next = log.held.firstAbsent(from: block)
            next = log.requested.firstAbsent(from: next)
            next = remote.refused.firstAbsent(from: next)
            guard let wanted = log.firstWanted(from: next),
                let present = remote.blocks.firstPresent(from: wanted)
            else { return nil }
            if present == block { return block }
            block = present
        }
        return nil
    }

    /// The first block that is sought, not asked for, and that the remote has.
    private func nextSought(below limit: UInt64) -> UInt64? {
        for run in log.sought.runs {
            for block in run where block < limit {
                guard remote.blocks.contains(block), !log.requested.contains(block),
                    !remote.refused.contains(block)
                else { continue }
                return block
            }
        }
        return nil
    }

    // MARK: What answers will teach

    /// The parents above a block's leaf that are neither here nor under way.
    ///
    /// - Returns: nil if the path leads out of the expected log, which cannot be.
    private func missingPath(
        above block: UInt64
    ) throws(StorageError) -> (steps: UInt64, buildsAhead: Bool)? {
        var node = 2 &* block
        var steps: UInt64 = 0
        while FlatTree.lengthSpanned(node) <= fetch.expectedLength {
            if fetch.expected.contains(node) { return (steps, true) }
            if try log.node(at: node) != nil { return (steps, false) }
            node = FlatTree.parent(node)
            steps &+= 1
        }
        return nil
    }

    private mutating func expectPath(_ pending: Pending) {
        guard let block = pending.block else { return }
        var node = 2 &* block
        for _ in 0..<pending.steps {
            fetch.expected.insert(node)
            fetch.expected.insert(FlatTree.sibling(node))
            node = FlatTree.parent(node)
        }
    }

    /// An upgrade brings the new roots, what lies between them and our last root, and the path of a
    /// block asked for with it.
    private mutating func expectUpgrade(to length: UInt64, _ pending: inout Pending) {
        let lastRoot = log.tree.roots.last?.index
        for root in FlatTree.fullRoots(length: length)
        where FlatTree.lengthSpanned(root) > log.length {
            pending.expectedByUpgrade.append(root)
            guard var node = lastRoot, FlatTree.contains(root, node) else { continue }
            while node != root {
                pending.expectedByUpgrade.append(FlatTree.sibling(node))
                node = FlatTree.parent(node)
                pending.expectedByUpgrade.append(node)
            }
        }
        fetch.expected.formUnion(pending.expectedByUpgrade)
        guard let block = pending.block else { return }
        var node = 2 &* block
        while fetch.expected.insert(node).inserted {
            fetch.expected.insert(FlatTree.sibling(node))
            pending.expectedByUpgrade.append(node)
            pending.expectedByUpgrade.append(FlatTree.sibling(node))
            node = FlatTree.parent(node)
        }
    }

    // MARK: Giving back

    private mutating func release(_ pending: Pending) {
        if let block = pending.block {
            log.requested.remove(block)
            if !fetch.expected.isEmpty {
                var node = 2 &* block
                for _ in 0..<pending.steps {
                    fetch.expected.remove(node)
                    fetch.expected.remove(FlatTree.sibling(node))
                    node = FlatTree.parent(node)
                }
            }
        }
        guard pending.upgradeStart != nil else { return }
        if log.upgradeOwner == identity { log.upgradeOwner = nil }
        for node in pending.expectedByUpgrade { fetch.expected.remove(node) }
    }

    mutating func releaseEverything() {
        for pending in fetch.inFlight.values { release(pending) }
        fetch.inFlight.removeAll()
        fetch.expected.removeAll()
    }
}
