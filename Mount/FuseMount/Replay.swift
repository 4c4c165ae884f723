internal import Base
internal import Share
internal import Synchronization

/// What the thread that replays remote changes is about to do, for the threads that answer it: the
/// view has changed already, so its calls find things as they were and change nothing.
final class Replay: Sendable {
    /// A call that will come.
    enum Expectation: Sendable {
        case create(ViewChange.Shown, NamePlace)
        case remove(ViewChange.Shown, NamePlace)
        case move(ViewChange.Shown, from: NamePlace, to: NamePlace, over: ViewChange.Shown?)
        case exchange(ViewChange.Shown, NamePlace, ViewChange.Shown, NamePlace)
        /// Attributes are shown anew, or content.
        case change(NodeID, ContentReplay?)

        /// Whether something the calling thread must not see stands at a place, or what.
        func standing(at place: NamePlace) -> Standing {
            switch self {
            case .create(_, place): .nothing
            case .remove(let shown, place): .shown(shown)
            case .move(let shown, from: place, to: _, over: _): .shown(shown)
            case .move(_, from: _, to: place, let over): over.map { .shown($0) } ?? .nothing
            case .exchange(let shown, place, _, _): .shown(shown)
            case .exchange(_, _, let shown, place): .shown(shown)
            default: .truth
            }
        }
    }

    enum Standing: Sendable {
        case truth
        case nothing
        case shown(ViewChange.Shown)
    }

    private let thread = Atomic<Int32>(0)
    private let expected = Mutex<Expectation?>(nil)

    /// The thread that makes the calls; to be called on it.
    func begin(thread: Int32) { self.thread.store(thread, ordering: .relaxed) }

    /// Whether a request is the replay's own.
    func isOwn(_ caller: Caller) -> Bool {
        caller.thread != 0 && caller.thread == thread.load(ordering: .relaxed)
    }

    var expectation: Expectation? { expected.withLock { $0 } }

    /// Runs calls that will be answered as `expectation` says.
    func expect<Result>(_ expectation: Expectation, _ body: () -> Result) -> Result {
        expected.withLock { $0 = expectation }
        defer { expected.withLock { $0 = nil } }
        return body()
    }
}
