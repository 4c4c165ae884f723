import Base
import Chunks
import FileTree
import TextMerge

/// Answers to the tree's questions about files with several heads.
///
/// Small files are merged in the call that brought the second head, so that nothing else ever shows. For
/// larger ones, and where bytes are missing, the event loop does it without the lock
/// (`ShareVolume+Merging.swift`). Nothing of it is in any log.
extension Engine {
    /// Takes up what the tree asks since its last change.
    mutating func takeQuestions() throws(StorageError) {
        while true {
            // An answer may change what another file is asked about.
            let questions = tree.takeQuestions()
            guard !questions.isEmpty else { return }
            for (index, question) in questions.enumerated() {
                do throws(StorageError) {
                    if try answerInline(question) { continue }
                    try settle(question)
                } catch {
                    // The tree asks once.
                    for question in questions[index...] { merges.add(question) }
                    throw error
                }
                merges.add(question)
                mustMerge = true
            }
        }
    }

    /// - Returns: false if there is more to it than bytes that came with their operations.
    private mutating func answerInline(_ question: MergeQuestion) throws(StorageError) -> Bool {
        guard let job = try job(question), job.isInline else { return false }
        switch try job.run(chunks) {
        case .merged(let bytes):
            guard bytes.count <= ChunkLimits.inlineSizeMax else { return false }
            try answer(question, .inline(bytes))
        case .conflict(let conflict): try answer(question, .conflict(conflict))
        case .missing: return false
        }
        return true
    }

    /// - Returns: nil if the question is no longer asked, or has been answered here: it has no merge.
    mutating func job(_ question: MergeQuestion) throws(StorageError) -> MergeJob? {
        guard try tree.pendingQuestion(of: question.object) == question else { return nil }
        guard let plan = try tree.plan(question) else {
            try answer(question, .conflict(.ambiguousBase))
            return nil
        }
        guard let job = MergeJob(question, plan) else {
            try answer(question, .conflict(.notText))
            return nil
        }
        return job
    }

    mutating func answer(_ question: MergeQuestion, _ content: Content) throws(StorageError) {
        let encoded = content.encode()
        merges.remember(
            MergeQueue.Shown(question: question, size: content.size, content: encoded))
        try answer(question, .merged(size: content.size, content: encoded))
    }

    mutating func answer(_ question: MergeQuestion, _ verdict: MergeVerdict)
        throws(StorageError)
    {
        if let failure { throw failure }
        let before = changes.count
        do throws(StorageError) {
            note(try tree.answer(question, verdict))
        } catch {
            // Part of the answer may be in the view.
            failure = error
            throw error
        }
        mergeChanges += changes[before...]
        markDirty()
        try settle(question)
    }

    /// Heads that showed beside a file, or not at all while bytes were missing, come to show in it, as when the one
    /// that stood in the way of a merge is gone: who has been making its next version since before has not seen
    /// them there.
    private mutating func settle(_ question: MergeQuestion) throws(StorageError) {
        let shown = try tree.content(of: question.object)?.versions ?? []
        if let last = merges.settled(question.object) {
            for head in shown where last.heads.contains(head) && !last.shown.contains(head) {
                recent.arrived(head)
            }
        }
        merges.remember(
            MergeQueue.Settled(object: question.object, heads: question.heads, shown: shown))
    }

    /// Bytes are missing: they are asked for, and a head that is here shows meanwhile.
    mutating func wait(
        _ question: MergeQuestion, for missing: [ChunkReference], readable: [VersionID]
    ) throws(StorageError) {
        guard try tree.pendingQuestion(of: question.object) == question else { return }
        // It came while the merge looked for it: nobody would tell of it any more.
        if let first = missing.first, chunks.contains(first.address) { return merges.add(question) }
        let isOldOnly = readable.count == question.heads.count
        merges.wait(
            question, for: missing,
            until: isOldOnly ? environment.now() + MergeQueue.Limits.patience : nil)
        try wantMissing(missing)
        guard case .pending(let shown?) = try tree.merge(of: question.object)?.verdict,
            !readable.contains(shown), let latest = readable.first
        else { return }
        try answer(question, .pending(shown: latest))
    }

    private mutating func wantMissing(_ missing: [ChunkReference], isOwed: Bool = true)
        throws(StorageError)
    {
        for reference in missing where !chunks.contains(reference.address) {
            let wanted = WantedChunk(reference: reference, isList: false, isOwed: isOwed)
            try storage.putWanted(wanted)
            newlyWanted.append(wanted)
            markDirty()
        }
    }

    /// What merges still wait for is wanted, beside what shows; some of it may have been written here.
    mutating func wantForMerges() throws(StorageError) {
        for object in merges.waiting.keys.sorted(by: { $0.rawValue < $1.rawValue }) {
            guard let waiting = merges.waiting[object] else { continue }
            if waiting.missing.contains(where: { chunks.contains($0.address) }) {
                merges.add(waiting.question)
            } else {
                try wantMissing(waiting.missing, isOwed: !waiting.showsAll)
            }
        }
    }

    /// Shows all heads of files that waited long enough.
    mutating func endPatience(now: Instant) throws(StorageError) {
        for question in merges.takeOverdue(now: now) {
            try answer(question, .pending(shown: nil))
        }
    }

    /// The next merge to make; if there is none, looks a little further for those that an earlier run
    /// left.
    ///
    /// - Returns: nil if none was found; there are no more once `merges.nextTurn` is nil.
    mutating func nextMerge() throws(StorageError) -> MergeJob? {
        while let question = merges.next() {
            do throws(StorageError) {
                if let job = try job(question) { return job }
            } catch {
                merges.add(question)
                throw error
            }
        }
        guard let scan = merges.scan else { return nil }
        let cursor: ObjectID? = if case .after(let object) = scan { object } else { nil }
        guard let page = try tree.contested(after: cursor, limit: MergeQueue.Limits.scanned) else {
            merges.scan = nil
            return nil
        }
        for object in page.objects {
            if let question = try tree.pendingQuestion(of: object) { merges.add(question) }
        }
        merges.scan = .after(page.last)
        merges.scanDeadline = environment.now() + MergeQueue.Limits.scanPause
        return nil
    }

    /// What members should know of the share's rules of merging.
    var mergeNotice: String? {
        guard tree.mergeRules > MergeRules.version else { return nil }
        return "this share merges texts by rules that this release does not know: concurrent "
            + "versions show beside each other here until holdfast is updated"
    }

    // MARK: Saving what was merged

    /// The parents of a save whose writer was shown several heads: what was shown becomes a version
    /// first, in the same block. It is the base of the save, on every device, for ever; without it two
    /// such saves would have several last common versions, and disagree about earlier edits.
    mutating func recordMerge(of object: ObjectID, _ parents: [VersionID]) throws(VolumeError)
        -> [VersionID]
    {
        guard parents.count > 1,
            let shown = try shownMerge(of: object, Set(parents))
        else { return parents }
        var modified = Timestamp.epoch
        for parent in parents {
            let row = try Self.stored { () throws(StorageError) in try storage.version(parent) }
            modified = max(modified, row?.modified ?? .epoch)
        }
        let merge = try author(
            .write(
                .init(
                    object: object, parents: parents, size: shown.size, modified: modified,
                    content: shown.content)))
        return [merge]
    }

    private func shownMerge(of object: ObjectID, _ heads: Set<VersionID>) throws(VolumeError)
        -> (size: UInt64, content: [UInt8])?
    {
        if let known = merges.shown.last(where: {
            $0.question.object == object && Set($0.question.heads) == heads
        }) {
            return (known.size, known.content)
        }
        let merge = try Self.stored { () throws(StorageError) in try tree.merge(of: object) }
        guard let merge, Set(merge.question.heads) == heads,
            case .merged(let size, let content) = merge.verdict
        else { return nil }
        return (size, content)
    }
}
