internal import Synchronization

/// Counts changes of what the volume shows that no request in hand has made: peers' operations, and
/// versions that jobs publish. An answer put together while it moved may mix before and after, and
/// the kernel would keep it for a day.
final class ChangeCount: Sendable {
    private let count = Atomic<UInt64>(0)

    var now: UInt64 { count.load(ordering: .acquiring) }

    /// To be called after the volume changed, before anyone else can know.
    func increment() { count.wrappingAdd(1, ordering: .acquiringAndReleasing) }
}
