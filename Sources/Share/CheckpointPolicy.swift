/// When checkpoints are published, and how long history counts as unsettled. A device's own choice: members
/// need not agree.
package struct CheckpointPolicy: Equatable, Sendable {
    /// Bytes that the logs must have grown by since the last one; or a quarter of its size, if that is more, so
    /// that a new device replays little beside what it fetches.
    package var growthMin: UInt64
    /// How long nothing may have happened before: then others have the same clock and can compare.
    package var quiet: Duration
    /// Devices take their turns within this time: mostly one writes.
    package var turns: Duration
    /// For this long everything is kept, whoever has seen it: a file may be open for some days.
    package var grace: Duration
    /// Objects written in one go, while calls of the filesystem wait.
    package var objectsPerTurn: Int

    /// For how long what happened can be looked up, whatever the share's retention policy says; nil: as that says.
    package var history: Duration?

    package static let standard = CheckpointPolicy(
        growthMin: 1 << 20, quiet: .seconds(10), turns: .seconds(20), grace: .seconds(7 * 86_400),
        objectsPerTurn: 256)

    package init(
        growthMin: UInt64, quiet: Duration, turns: Duration, grace: Duration, objectsPerTurn: Int,
        history: Duration? = nil
    ) {
        self.growthMin = growthMin
        self.quiet = quiet
        self.turns = turns
        self.grace = grace
        self.objectsPerTurn = objectsPerTurn
        self.history = history
    }
}
