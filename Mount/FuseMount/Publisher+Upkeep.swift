internal import Base
internal import Share
internal import Synchronization

/// What the passing of time, a lack of room and the end of the mount ask for.
extension Publisher {
    /// Records and publishes files that are kept open; gives back staging space.
    func tick(now: Instant) {
        let isTight = depot.bytesUsed > depot.bytesMax / 2
        for file in dirtyFiles() {
            let due = file.due(now: now)
            do {
                if due.publish {
                    try publish(file)
                } else {
                    // A power failure may take the last second, and no more.
                    if due.record { try record(file, again: true, isSynced: true) }
                    if due.flatten || isTight && due.byteCount > 0 { flatten(file) }
                }
            } catch {
                log("saving goes on later: \(error)")
            }
        }
        let grace = isTight ? Duration.zero : MountLimits.releaseAfter
        if depot.hasRetired(by: now + (.zero - grace)) { releaseRetired() }
        depot.dropSpares(unusedSince: now + (.zero - MountLimits.spareFor))
    }

    /// Makes room in the staging area: the bytes of open files become chunks.
    func relieve() {
        let now = Clock.now()
        for file in dirtyFiles() where file.due(now: now).byteCount > 0 { flatten(file) }
        if depot.hasRetired(by: now) { releaseRetired() }
    }

    /// A file that was only emptied counts as one byte.
    var unpublishedBytes: UInt64 {
        dirtyFiles().reduce(0) { $0 + $1.unpublishedBytes }
    }

    /// Publishes everything and waits until that is done, or `deadline`; what is not is recorded.
    func flushAll(deadline: Instant) throws(VolumeError) {
        final class Settling: Sendable {
            let latch = Latch()
            let failure = Mutex<VolumeError?>(nil)
        }
        var failure: VolumeError?
        let files = dirtyFiles().map { file in
            let settling = Settling()
            settle(file, isPatient: false) { error in
                settling.failure.withLock { $0 = error }
                settling.latch.open()
            }
            return (file, settling)
        }
        for (file, settling) in files {
            settling.latch.wait(until: deadline)
            if let error = settling.failure.withLock({ $0 }) { failure = error }
            if file.isDirty { try record(file) }
        }
        try volume.sync()
        if let failure { throw failure }
    }

    private func releaseRetired() {
        let starts = state.withLock { state in
            guard !state.isReleasing else { return false }
            state.isReleasing = true
            return true
        }
        guard starts else { return }
        submit {
            do {
                try self.depot.release(now: Clock.now()) { () throws(VolumeError) in
                    try self.volume.sync()
                }
            } catch {
                self.log("staging space is given back later: \(error)")
            }
            self.state.withLock { $0.isReleasing = false }
        }
    }

    private func dirtyFiles() -> [FileState] {
        state.withLock { state in
            state.dirty.values.sorted { $0.id.rawValue < $1.id.rawValue }
        }
    }
}
