internal import Base
internal import CFuse3
internal import Synchronization

/// How far another device's content of one file has come into the kernel: for the thread that replays it and
/// those that answer.
///
/// Where the kernel writes back, the size is its own, and what somebody just wrote is not known here. So the
/// times are set first: for them it sends what was written, and holds writers off until the answer. Meanwhile the
/// content is exchanged, and the file grows. A shorter one needs a truncation, for which the kernel sends nothing,
/// and with which it drops what lies beyond. Between the two calls somebody may write: but the file's time tells,
/// since while the truncation is answered the kernel holds writers off, too. Then it fails, and nothing is lost.
final class ContentReplay: Sendable {
    /// What the kernel has of a file.
    struct Kept: Equatable, Sendable {
        /// In bytes.
        let size: UInt64
        let modified: Timestamp
    }

    private struct State {
        var sent: (kept: Kept, at: Timestamp)?
        var isShown: Bool
    }

    private let file: Int32
    private let state: Mutex<State>

    /// - Parameter file: a descriptor of the file in the mount, open for as long as this is used.
    /// - Parameter isShown: whether there is only to be told of a content that the kernel has.
    init(_ file: Int32, isShown: Bool = false) {
        self.file = file
        state = Mutex(State(isShown: isShown))
    }

    /// Whether the kernel has the content, or is about to be answered so.
    var isShown: Bool { state.withLock { $0.isShown } }
    func noteShown() { state.withLock { $0.isShown = true } }

    /// The kernel has sent everything: what it keeps from now on.
    func noteSent(_ kept: Kept) {
        let now = Clock.wallTime()
        state.withLock { $0.sent = (kept, now) }
    }

    /// Whether nobody can have written since the kernel sent everything. To be asked while a truncation is
    /// answered.
    func isUnwritten(hasWriters: Bool) -> Bool {
        guard let sent = state.withLock({ $0.sent }), kept == sent.kept else { return false }
        // A write would not change a time that the clock shows just now.
        return !hasWriters || sent.kept.modified < sent.at
            || sent.kept.modified > Clock.wallTime()
    }

    /// What the kernel keeps, without a request to us: with a change of attributes waiting for its answer, for
    /// sure. nil if it does not say.
    var kept: Kept? {
        var size: UInt64 = 0
        var modified = timespec()
        // The variables are local ones.
        guard unsafe holdfast_kept_status(file, &size, &modified) == 0 else { return nil }
        return Kept(size: size, modified: Timestamp(modified))
    }
}
