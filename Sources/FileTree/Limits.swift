import Base

/// Bounds on what a block or an operation may hold. Larger ones are refused when decoded.
package enum Limits {
    /// The name of an entry, in bytes: what POSIX calls NAME_MAX.
    package static let nameSizeMax = 255
    /// Directories above one another that a path may name.
    package static let pathDepthMax = 10_000
    /// The target of a symlink, in bytes: PATH_MAX without its NUL.
    package static let targetSizeMax = 4095
    /// The encoded content of one version: inline bytes or the top of a chunk list.
    package static let contentSizeMax = 32 * 1024
    /// The size of a file, in bytes.
    package static let fileSizeMax: UInt64 = 1 << 53 - 1
    /// A moment in milliseconds since 1970.
    package static let millisecondsMax: UInt64 = 1 << 53 - 1
    /// How much later than its block's time an operation may plausibly be.
    package static let blockSpanMilliseconds: UInt64 = 1000
    /// As Linux has them.
    package static let xattrNameSizeMax = 255
    package static let xattrValueSizeMax = 64 * 1024
    /// The heads that one save may succeed.
    package static let parentsMax = 64
    /// The heads that are merged; with more, each shows under a name of its own. Part of the rules.
    package static let mergedHeadsMax = 16
    /// How many versions of a file are looked at for the last that two heads have in common; with
    /// more since then they are not merged. Part of the rules.
    package static let mergeHistoryMax = 10_000
    /// What was succeeded so long ago may be forgotten: a week, in milliseconds. Part of the rules.
    package static let settlesAfterMilliseconds: UInt64 = 7 * 86_400_000
    /// The name of a device, in bytes.
    package static let deviceNameSizeMax = 255
    package static let settingKeySizeMax = 255
    package static let settingValueSizeMax = 16 * 1024

    /// Operations of one block: their index has 14 bits.
    package static let operationsPerBlockMax = 1 << 14
    /// One encoded operation.
    package static let operationSizeMax = 80 * 1024
    /// One encoded block.
    package static let blockSizeMax = 1024 * 1024
    /// Blocks of one log: their number has 36 bits.
    package static let blocksPerLogMax: UInt64 = 1 << 36
    /// Logs that one block may mention for the first time: all there can be, since a device may have
    /// caught up with all of them before it writes.
    package static let newWritersPerBlockMax = Int(WriterSlot.max)
    /// Rows held in memory between `begin` and `finish` before they are written out.
    package static let heldRowsMax = 8192
    /// Rows that may change while a checkpoint is being written before it is given up.
    static let snapshotRowsMax = 65_536
}
