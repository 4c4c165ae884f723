import Base
import Chunks
import FileTree
import TextMerge

/// Merging what is too large for a call of the filesystem, or waits for bytes.
extension ShareVolume {
    private enum MergeLimits {
        /// Merges made before the event loop goes on.
        static let perTurn = 4
        /// From one that storage stopped to the next.
        static let pause = Duration.seconds(1)
    }

    /// Makes some merges. Reads and merges without a lock.
    ///
    /// - Returns: what changed.
    func mergeVersions(now: Instant, next: inout Instant) -> [ViewChange] {
        do {
            for _ in 0..<MergeLimits.perTurn {
                guard try mergeNext(by: now) else { break }
            }
        } catch {
            engine.withLock { engine in
                let isNews = engine.merges.pause(after: error, until: now + MergeLimits.pause)
                if isNews { engine.notices.append("storage: \(error)") }
            }
        }
        return engine.withLock { engine in
            if !engine.newlyWanted.isEmpty { next = now }
            if let turn = engine.merges.nextTurn { next = min(next, max(turn, now)) }
            if let deadline = engine.merges.deadline { next = min(next, deadline) }
            return engine.takeChanges()
        }
    }

    /// Makes every merge whose bytes are here.
    func mergeAll() throws(StorageError) {
        while try mergeNext(by: .distantFuture) {}
    }

    /// - Parameter end: what is not due by then is left.
    /// - Returns: whether there may be more to make.
    private func mergeNext(by end: Instant) throws(StorageError) -> Bool {
        let now = environment.now()
        let (job, isDue) = try engine.withLock {
            (engine) throws(StorageError) -> (MergeJob?, Bool) in
            if engine.merges.deadline.map({ $0 <= now }) ?? false {
                try engine.endPatience(now: now)
            }
            // A checkpoint that was read, a member's name and an answer may each have brought some up.
            try engine.takeQuestions()
            let isDue = engine.merges.nextTurn.map { $0 <= end } ?? false
            return (isDue ? try engine.nextMerge() : nil, isDue)
        }
        guard let job else { return isDue }
        do throws(StorageError) {
            try make(job)
        } catch {
            engine.withLock { $0.merges.add(job.question) }
            throw error
        }
        return true
    }

    private func make(_ job: MergeJob) throws(StorageError) {
        let outcome = try job.run(chunks)
        var content: Content?
        if case .merged(let bytes) = outcome { content = try store(bytes) }
        try engine.withLock { (engine) throws(StorageError) in
            switch outcome {
            case .merged: if let content { try engine.answer(job.question, content) }
            case .conflict(let conflict):
                try engine.answer(job.question, .conflict(conflict))
            case .missing(let missing, let readable):
                try engine.wait(job.question, for: missing, readable: readable)
            }
            engine.merges.noteSuccess()
        }
    }

    /// Makes the merges of a view that is looked at and not kept; what lacks bytes shows all heads.
    func mergeAll(in tree: FileTree) throws(StorageError) {
        for question in tree.takeQuestions() {
            guard try tree.pendingQuestion(of: question.object) == question else { continue }
            var verdict = MergeVerdict.conflict(.ambiguousBase)
            if let plan = try tree.plan(question) {
                switch try MergeJob(question, plan)?.run(chunks) {
                case .merged(let bytes):
                    let content = try store(bytes)
                    verdict = .merged(size: content.size, content: content.encode())
                case .conflict(let conflict): verdict = .conflict(conflict)
                case .missing: verdict = .pending(shown: nil)
                case nil: verdict = .conflict(.notText)
                }
            }
            _ = try tree.answer(question, verdict)
        }
    }

    /// The chunks are durable before the view names them.
    private func store(_ bytes: [UInt8]) throws(StorageError) -> Content {
        guard bytes.count > ChunkLimits.inlineSizeMax else { return .inline(bytes) }
        var builder = ContentBuilder(keys: keys.contentKeys, storage: chunks)
        let source = unsafe FunctionSource(size: UInt64(bytes.count)) { offset, buffer in
            // At most as much as is left, and as the buffer holds.
            let count = min(buffer.count, bytes.count - Int(offset))
            unsafe buffer.copyBytes(from: bytes[Int(offset)..<Int(offset) + count])
            return count
        }
        let content: Content
        do throws(ContentError) {
            content = try builder.build(from: source)
        } catch {
            switch error {
            case .storage(let error): throw error
            case .missing: throw .corrupt(what: "a merge was cut from chunks that are not here")
            }
        }
        try chunks.sync()
        return content
    }
}
