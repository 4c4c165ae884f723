internal import Base
internal import Chunks
internal import Glibc
internal import Share

/// Calls that wait for chunks of others.
extension Filesystem {
    /// Asks for chunks, then tries again; no thread waits for them.
    ///
    /// - Parameter attempt: answers through what it is given, or names the chunks it lacks.
    func fetch(
        _ missing: [ChunkReference], _ reply: consuming FuseReply,
        _ attempt: @escaping @Sendable (PendingReply) -> [ChunkReference]?
    ) {
        let pending = pending.hold(reply)
        fetch(missing, pending, rounds: MountLimits.fetchRoundsMax, attempt)
    }

    func fetch(
        _ missing: [ChunkReference], _ pending: PendingReply, rounds: Int,
        _ attempt: @escaping @Sendable (PendingReply) -> [ChunkReference]?
    ) {
        guard !pending.isAnswered else { return }
        guard rounds > 0 else { return pending.fail(EIO) }
        let addresses = missing.map(\.address)
        if failures.contain(addresses) {
            return pending.fail(ErrorCode.code(VolumeError.unreachable))
        }
        let start = Clock.now()
        volume.demand(missing) { [self] allHere in
            guard allHere else {
                if Clock.now() - start >= MountLimits.failureWait { failures.note(addresses) }
                return pending.fail(ErrorCode.code(VolumeError.unreachable))
            }
            if let missing = attempt(pending) {
                self.fetch(missing, pending, rounds: rounds - 1, attempt)
            }
        }
    }
}
