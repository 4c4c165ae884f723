package import Share

/// What `holdfast export` wrote, or would write.
package struct ExportReport: Codable, Equatable, Sendable {
    package struct Item: Codable, Equatable, Sendable {
        package enum Outcome: String, Codable, Sendable {
            case written
            /// The same is there already.
            case present
            /// Bytes of it are not on this device.
            case missing
            case failed
            /// Nothing was to be written.
            case listed
        }

        /// In the share.
        package var path: String
        /// `file`, `directory`, `symlink`, `fifo`, `socket`, `characterDevice` or `blockDevice`.
        package var kind: String
        /// Who wrote it.
        package var device: String
        /// `new`: the members have no such thing; `changed`: they have the file with other bytes.
        package var state: String
        /// In bytes.
        package var size: UInt64
        /// Milliseconds since 1970.
        package var modified: UInt64
        package var outcome: Outcome
        /// Below the folder that was named, where it was written under another name.
        package var writtenAs: String?
        package var problem: String?

        package init(
            path: String, kind: String, device: String, state: String, size: UInt64,
            modified: UInt64, outcome: Outcome
        ) {
            self.path = path
            self.kind = kind
            self.device = device
            self.state = state
            self.size = size
            self.modified = modified
            self.outcome = outcome
        }
    }

    /// The devices whose blocks were looked at.
    package var logs: [UncountedView.Log] = []
    /// The first ones, by path.
    package var items: [Item] = []
    /// Those that are in the counts only.
    package var unlisted: UInt64 = 0
    /// Written; of a dry run, to be written. Everything but folders is a file.
    package var files: UInt64 = 0
    package var folders: UInt64 = 0
    package var bytes: UInt64 = 0
    package var present: UInt64 = 0
    package var missing: UInt64 = 0
    package var failed: UInt64 = 0
    /// Blocks that build on others which are not here, or need a newer release.
    package var unreadBlocks: UInt64 = 0

    package init() {}
}
