internal import CFuse3
internal import Glibc

/// The seat of the one thread that reads requests; the others wait until it is free.
@safe final class LeaderSeat: @unchecked Sendable {
    /// What became of a thread that asked for the seat.
    enum Answer { case leads, isNotNeeded, ended }

    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let isFree = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    private var isTaken = false
    private var hasEnded = false
    private var waiting = 0

    init() {
        // Both stay at one address until deinit, as POSIX asks.
        unsafe pthread_mutex_init(mutex, nil)
        unsafe pthread_cond_init(isFree, nil)
    }

    deinit {
        unsafe pthread_cond_destroy(isFree)
        unsafe pthread_mutex_destroy(mutex)
        unsafe isFree.deallocate()
        unsafe mutex.deallocate()
    }

    /// Waits until the calling thread may lead.
    ///
    /// - Parameter idleMax: threads that may wait; further ones are not needed.
    func take(idleMax: Int) -> Answer {
        unsafe pthread_mutex_lock(mutex)
        defer { unsafe pthread_mutex_unlock(mutex) }
        guard !isTaken || waiting < idleMax || hasEnded else { return .isNotNeeded }
        waiting += 1
        while isTaken, !hasEnded { unsafe pthread_cond_wait(isFree, mutex) }
        waiting -= 1
        if hasEnded { return .ended }
        isTaken = true
        return .leads
    }

    /// Gives the seat up.
    ///
    /// - Returns: whether somebody waits for it; else a further thread is of use.
    func leave() -> Bool {
        unsafe pthread_mutex_lock(mutex)
        defer { unsafe pthread_mutex_unlock(mutex) }
        isTaken = false
        unsafe pthread_cond_signal(isFree)
        return waiting > 0
    }

    /// Nobody leads any more.
    func end() {
        unsafe pthread_mutex_lock(mutex)
        hasEnded = true
        unsafe pthread_cond_broadcast(isFree)
        unsafe pthread_mutex_unlock(mutex)
    }
}
