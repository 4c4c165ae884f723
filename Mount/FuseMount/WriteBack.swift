internal import Base
internal import CFuse3
internal import Synchronization

/// The pages that programs wrote and the kernel has not sent yet.
///
/// Left alone, the kernel keeps them for half a minute. So that little is lost when the power goes,
/// they are called in twice a second while a program has a file open for writing; and those of one
/// file when an answer depends on them. Both wait for requests of the mount's own, so they run on
/// threads that answer none.
final class WriteBack: Sendable {
    private let isOn = Atomic<Bool>(false)
    private let writers = Atomic<Int>(0)
    private let isSyncing = Atomic<Bool>(false)
    private let lastSync = Mutex(Instant.zero)
    private let place = Mutex<MountedPlace?>(nil)
    private let wholeThread: SerialThread
    /// Files being called in.
    private let settling = Atomic<Int>(0)
    private let kernel: KernelCache

    init(kernel: KernelCache) throws(MountError) {
        self.kernel = kernel
        wholeThread = try SerialThread(name: "write-back")
    }

    /// Whether the kernel keeps written pages, and with them size and times of regular files: what it
    /// was told of those when it came to know an inode it takes from nobody else any more.
    var isUsed: Bool { isOn.load(ordering: .relaxed) }

    /// What the kernel agreed to.
    func use(_ isUsed: Bool) { isOn.store(isUsed, ordering: .relaxed) }

    func begin(at place: MountedPlace) {
        self.place.withLock { $0 = place }
        // If the process is killed while it waits here, only the session's end can let it go; and that
        // comes with the last descriptor of the session, which this thread must not hold open, then.
        wholeThread.run { holdfast_own_files() }
    }

    /// Nothing is called in any more.
    func end() {
        wholeThread.stop()
        for _ in 0..<500 where settling.load(ordering: .acquiring) > 0 { usleep(10_000) }
    }

    func opened() { writers.wrappingAdd(1, ordering: .relaxed) }
    func closed() { writers.wrappingSubtract(1, ordering: .relaxed) }

    /// Calls in all pages if that is due; does not wait for it.
    func tick(now: Instant) {
        guard isUsed, writers.load(ordering: .relaxed) > 0,
            lastSync.withLock({ $0 + MountLimits.writeBackAfter <= now }),
            !isSyncing.exchange(true, ordering: .acquiring)
        else { return }
        wholeThread.run { [weak self] in
            guard let self else { return }
            lastSync.withLock { $0 = Clock.now() }
            if let place = place.withLock({ $0 }) { place.sync() }
            isSyncing.store(false, ordering: .releasing)
        }
    }

    /// Calls in all pages of a file, then goes on; at once if nobody writes to it.
    func settle(_ file: FileState, then call: @escaping @Sendable () -> Void) {
        guard isUsed, file.hasWriters else { return call() }
        // Not one after the other: pages may wait for bytes from elsewhere.
        settling.wrappingAdd(1, ordering: .acquiringAndReleasing)
        do {
            try startThread(name: "write-back file") { [self] in
                kernel.takePages(of: file.id)
                settling.wrappingSubtract(1, ordering: .acquiringAndReleasing)
                call()
            }
        } catch {
            settling.wrappingSubtract(1, ordering: .acquiringAndReleasing)
            call()
        }
    }
}
