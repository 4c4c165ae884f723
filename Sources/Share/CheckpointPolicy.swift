import Base
import FileTree

/// When checkpoints are published, and how long history counts as unsettled. All but the latter is a device's own
/// choice: members need not agree.
package struct CheckpointPolicy: Equatable, Sendable {
    /// Bytes that the logs must have grown by since the last one; or a quarter of its size, if that is more, so
    /// that a new device replays little beside what it fetches.
    package var growthMin: UInt64
    /// How long nothing may have happened before: then others have the same clock and can compare.
    package var quiet: Duration
    /// Devices take their turns within this time: mostly one writes.
    package var turns: Duration
    /// For this long everything is kept, whoever has seen it: a file may be open for some days. The same on all
    /// devices of a share: it tells which saves are merged.
    package var grace: Duration
    /// Objects written in one go, while calls of the filesystem wait.
    package var objectsPerTurn: Int

    package static let standard = CheckpointPolicy(
        growthMin: 1 << 20, quiet: .seconds(10), turns: .seconds(20),
        grace: .milliseconds(Int64(Limits.settlesAfterMilliseconds)),
        objectsPerTurn: 256)

    var graceMilliseconds: UInt64 { UInt64(max(0, grace.nanosecondsClamped / 1_000_000)) }

    package init(
        growthMin: UInt64, quiet: Duration, turns: Duration, grace: Duration, objectsPerTurn: Int
    ) {
        self.growthMin = growthMin
        self.quiet = quiet
        self.turns = turns
        self.grace = grace
        self.objectsPerTurn = objectsPerTurn
    }
}
