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

        /// Where something stands that the call takes away, or puts elsewhere.
        var taken: [NamePlace] {
            switch self {
            case .remove(_, let place): [place]
            case .move(_, let from, _, nil): [from]
            case .move(_, let from, let to, .some), .exchange(_, let from, _, let to): [from, to]
            case .create, .change: []
            }
        }

        /// What the kernel will take for gone.
        var victim: ViewChange.Shown? {
            switch self {
            case .remove(let shown, _): shown
            case .move(_, _, _, let over): over
            case .create, .exchange, .change: nil
            }
        }
    }

    private struct Expected {
        let expectation: Expectation
        /// Where the kernel has asked what stands there.
        var asked: [NamePlace] = []
        var hasStandIn = false
        var isMet = false
    }

    enum Standing: Sendable {
        case truth
        case nothing
        case shown(ViewChange.Shown)
    }

    private let thread = Atomic<Int32>(0)
    private let expected = Mutex<Expected?>(nil)
    private let plan = Mutex<NameChangeCounts.Moment?>(nil)

    /// The thread that makes the calls; to be called on it.
    func begin(thread: Int32) { self.thread.store(thread, ordering: .relaxed) }

    /// Whether a request is the replay's own.
    func isOwn(_ caller: Caller) -> Bool {
        caller.thread != 0 && caller.thread == thread.load(ordering: .relaxed)
    }

    var expectation: Expectation? { expected.withLock { $0?.expectation } }

    /// When what is going to be expected was read.
    var plannedAt: NameChangeCounts.Moment? { plan.withLock { $0 } }

    /// What is expected from now on follows from names as they are at this moment, or later.
    func beginPlan(at moment: NameChangeCounts.Moment) { plan.withLock { $0 = moment } }

    /// Runs calls that will be answered as `expectation` says.
    func expect<Result>(_ expectation: Expectation, _ body: () -> Result) -> Result {
        expected.withLock { $0 = Expected(expectation: expectation) }
        defer { expected.withLock { $0 = nil } }
        return body()
    }

    /// Whether the call has come: the kernel may find by itself that there is nothing to do.
    var isMet: Bool { expected.withLock { $0?.isMet ?? false } }

    func meet() { expected.withLock { $0?.isMet = true } }

    /// The kernel has been told what stands at a place, or something in its stead.
    func noteAsked(_ place: NamePlace, isStandIn: Bool) {
        expected.withLock { expected in
            expected?.asked.append(place)
            if isStandIn { expected?.hasStandIn = true }
        }
    }

    var hasStandIn: Bool { expected.withLock { $0?.hasStandIn ?? false } }

    /// Whether the kernel has asked for all that the call is about: of a name that it knew it may have
    /// something else, as it is now.
    var hasAsked: Bool {
        expected.withLock { expected in
            guard let expected else { return false }
            return expected.expectation.taken.allSatisfy { expected.asked.contains($0) }
        }
    }
}
