import Base

/// Giving back history, a little at a time.
extension ShareVolume {
    private enum CompactingLimits {
        /// From one step to the next.
        static let pause = Duration.milliseconds(10)
        static let pauseAfterError = Duration.seconds(60)
    }

    /// Whether history is being given back at the moment.
    package var isCompacting: Bool { engine.withLock { $0.compaction != nil } }

    func compact(now: Instant, next: inout Instant) {
        let total = diskSpace().total
        engine.withLock { engine in
            do throws(StorageError) {
                try engine.beginCompactionIfDue(now: now, diskBytes: total)
                if try engine.compactStep(now: now) {
                    next = min(next, now + CompactingLimits.pause)
                }
            } catch {
                // Nothing is lost: it is gone on with.
                if engine.toldFailure != error { engine.notices.append("storage: \(error)") }
                engine.toldFailure = error
                next = min(next, now + CompactingLimits.pauseAfterError)
            }
        }
    }

    /// Runs what reads logs from their beginning; nothing of them is given back meanwhile.
    func readingHistory<Result, Failure>(_ body: () throws(Failure) -> Result) throws(Failure)
        -> Result
    {
        engine.withLock { $0.historyReaders += 1 }
        defer { engine.withLock { $0.historyReaders -= 1 } }
        return try body()
    }
}
