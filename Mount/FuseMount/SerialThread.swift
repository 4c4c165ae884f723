internal import Base
internal import CFuse3
internal import Glibc
internal import Synchronization

/// Runs what it is given, one after the other, on a thread of its own.
final class SerialThread: Sendable {
    private struct State {
        /// Runs before `work`.
        var urgent: [@Sendable () -> Void] = []
        var work: Deque = Deque()
        var sleeping: Latch?
        var isStopped = false
    }

    private let state = Mutex(State())
    private let ended = Latch()

    /// - Parameter name: at most 15 bytes, for the process list.
    init(name: String) throws(MountError) {
        let ended = ended
        try startThread(name: name) { [weak self] in
            // The thread keeps the object only while it works, so that `deinit` can stop it.
            while let next = self?.next() {
                switch next {
                case .work(let call): call()
                case .sleep(let latch): latch.wait()
                }
            }
            ended.open()
        }
    }

    deinit { wakeStopped() }

    func run(_ call: @escaping @Sendable () -> Void) { add(call, isNext: false) }

    /// As `run`, before all that waits.
    func runNext(_ call: @escaping @Sendable () -> Void) { add(call, isNext: true) }

    private func add(_ call: @escaping @Sendable () -> Void, isNext: Bool) {
        let sleeping: Latch? = state.withLock { state in
            guard !state.isStopped else { return nil }
            if isNext { state.urgent.append(call) } else { state.work.append(call) }
            let sleeping = state.sleeping
            state.sleeping = nil
            return sleeping
        }
        sleeping?.open()
    }

    /// Drops what has not begun.
    func stop() {
        wakeStopped()
        ended.wait(until: Clock.now() + .seconds(5))
    }

    private func wakeStopped() {
        let sleeping = state.withLock { state in
            state.isStopped = true
            state.urgent = []
            state.work = Deque()
            return state.sleeping
        }
        sleeping?.open()
    }

    private enum Next {
        case work(@Sendable () -> Void)
        case sleep(Latch)
    }

    private func next() -> Next? {
        state.withLock { state in
            if state.isStopped { return nil }
            if !state.urgent.isEmpty { return .work(state.urgent.removeFirst()) }
            if let call = state.work.popFirst() { return .work(call) }
            let latch = Latch()
            state.sleeping = latch
            return .sleep(latch)
        }
    }
}

/// A queue; taking from its front does not move the rest.
private struct Deque {
    private var front: [@Sendable () -> Void] = []
    private var back: [@Sendable () -> Void] = []

    mutating func append(_ call: @escaping @Sendable () -> Void) { back.append(call) }

    mutating func popFirst() -> (@Sendable () -> Void)? {
        if front.isEmpty {
            front = back.reversed()
            back = []
        }
        return front.popLast()
    }
}

private final class ThreadBody {
    let name: String
    let run: () -> Void
    init(name: String, run: @escaping () -> Void) {
        self.name = name
        self.run = run
    }
}

/// Starts a detached thread (pthread_create).
func startThread(name: String, _ body: @escaping @Sendable () -> Void) throws(MountError) {
    let context = unsafe Unmanaged.passRetained(ThreadBody(name: name, run: body))
    var thread = pthread_t()
    let code = unsafe pthread_create(
        &thread, nil,
        { context in
            guard let context = unsafe context else { return nil }
            let body = unsafe Unmanaged<ThreadBody>.fromOpaque(context).takeRetainedValue()
            unsafe pthread_setname_np(pthread_self(), body.name)
            body.run()
            return nil
        }, context.toOpaque())
    guard code == 0 else {
        // No thread took the reference over.
        unsafe context.release()
        throw .system(code: code, action: "starting a thread")
    }
    pthread_detach(thread)
}
