import Base
import Chunks

/// Publishing a checkpoint, a little at a time: the rows are read under the engine's lock, hashed, encrypted and
/// stored without it.
extension ShareVolume {
    private enum CheckpointLimits {
        /// From one stretch to the next.
        static let pause = Duration.milliseconds(10)
    }

    /// Whether a checkpoint is being written at the moment.
    package var isPublishing: Bool { engine.withLock { $0.publishing != nil } }

    func writeCheckpoint(now: Instant, next: inout Instant) {
        do throws(StorageError) {
            let (step, content) = try engine.withLock {
                (engine) throws(StorageError) -> (Engine.CheckpointStep, SegmentedContent?) in
                let step = try engine.nextCheckpointPieces()
                return (step, engine.publishing?.content)
            }
            guard case .pieces(let pieces, let isLast) = step, var content else { return }
            for piece in pieces { try content.append(piece) }
            guard isLast else {
                engine.withLock { $0.publishing?.content = content }
                return next = min(next, now + CheckpointLimits.pause)
            }
            let whole = try content.finish()
            try chunks.sync()
            try engine.withLock { (engine) throws(StorageError) in try engine.publish(whole) }
            next = now
        } catch {
            // Another time: a checkpoint is no more than a help.
            engine.withLock { engine in
                engine.endPublishing()
                engine.lastBlockAt = now
                engine.notices.append("a checkpoint was given up: \(error)")
            }
        }
    }
}
