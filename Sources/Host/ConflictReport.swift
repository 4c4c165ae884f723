/// One conflict, as `holdfast conflicts` and the folder `.holdfast/conflicts` tell it. Paths are below the
/// mount point; times as in `LogEntry`.
package struct ConflictReport: Codable, Equatable, Sendable {
    package struct Version: Codable, Equatable, Sendable {
        /// What `holdfast resolve --keep` takes: an operation, the same on every device.
        package var id: String
        package var device: String
        /// Whether this device made it.
        package var own: Bool
        package var time: String
        /// `file`, `directory`, `symlink` and so on.
        package var kind: String
        package var size: UInt64
        /// Whether it has the contested name.
        package var shown: Bool
        /// Where it shows, if it does.
        package var path: String?
        /// Where its bytes can be read in any case; nil for what has none.
        package var file: String?
        /// Where that can be read which it and the one shown come from.
        package var base: String?
        /// Why it has the name, or not: `ShareConflict.Reason`.
        package var reason: String
        /// The same for people.
        package var words: String

        package init(
            id: String, device: String, own: Bool, time: String, kind: String, size: UInt64,
            shown: Bool, path: String?, file: String?, base: String?, reason: String,
            words: String
        ) {
            self.id = id
            self.device = device
            self.own = own
            self.time = time
            self.kind = kind
            self.size = size
            self.shown = shown
            self.path = path
            self.file = file
            self.base = base
            self.reason = reason
            self.words = words
        }
    }

    package var path: String
    /// `versions`, `name` or `reserved`.
    package var kind: String
    /// Whether the others do not show beside it.
    package var hidden: Bool
    package var versions: [Version]

    package init(path: String, kind: String, hidden: Bool, versions: [Version]) {
        self.path = path
        self.kind = kind
        self.hidden = hidden
        self.versions = versions
    }
}
