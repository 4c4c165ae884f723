internal import CFuse3
internal import Glibc
internal import Synchronization

/// Sees when a leader has been at work for long, and takes the seat away from it.
///
/// A thread looks twice a millisecond while requests come, and sleeps when none does.
@safe final class LeaderWatch: @unchecked Sendable {
    /// The number of the request that the leader answers; 0 if it answers none.
    private let current = Atomic<UInt64>(0)
    private let last = Atomic<UInt64>(0)
    private let isAwake = Atomic<Bool>(false)
    private let hasEnded = Atomic<Bool>(false)
    private let bell = UnsafeMutablePointer<sem_t>.allocate(capacity: 1)

    init() { unsafe sem_init(bell, 0, 0) }

    deinit {
        unsafe sem_destroy(bell)
        unsafe bell.deallocate()
    }

    /// - Parameter takeAway: called when the leader has lost its seat.
    func begin(_ takeAway: @escaping @Sendable () -> Void) throws(MountError) {
        try startThread(name: "fuse watch") { [self] in
            while !hasEnded.load(ordering: .relaxed) {
                watch(takeAway)
                unsafe sem_wait(bell)
            }
        }
    }

    func end() {
        hasEnded.store(true, ordering: .relaxed)
        unsafe sem_post(bell)
    }

    /// The leader begins to answer a request. To be given to `end`.
    func begin() -> UInt64 {
        let number = last.wrappingAdd(1, ordering: .relaxed).newValue
        // With `watch`, both in one order: either this sees that nobody watches, or that sees the number.
        current.store(number, ordering: .sequentiallyConsistent)
        if !isAwake.load(ordering: .sequentiallyConsistent),
            !isAwake.exchange(true, ordering: .relaxed)
        {
            unsafe sem_post(bell)
        }
        return number
    }

    /// - Returns: whether the thread still leads.
    func end(_ number: UInt64) -> Bool {
        current.compareExchange(expected: number, desired: 0, ordering: .acquiringAndReleasing)
            .exchanged
    }

    private func watch(_ takeAway: () -> Void) {
        var seen: UInt64 = 0
        var newest = last.load(ordering: .relaxed)
        var idleTicks = 0
        while !hasEnded.load(ordering: .relaxed) {
            usleep(MountLimits.leaderTick)
            let number = current.load(ordering: .acquiring)
            if number != 0, number == seen, end(number) { takeAway() }
            seen = number
            let count = last.load(ordering: .relaxed)
            idleTicks = count == newest && number == 0 ? idleTicks + 1 : 0
            newest = count
            guard idleTicks > MountLimits.leaderIdleTicks else { continue }
            isAwake.store(false, ordering: .sequentiallyConsistent)
            guard current.load(ordering: .sequentiallyConsistent) != 0,
                !isAwake.exchange(true, ordering: .relaxed)
            else { return }
            idleTicks = 0
        }
    }
}
