package import Share

/// What the command line asks of a running daemon: one line of JSON.
package struct ControlRequest: Codable, Equatable, Sendable {
    package enum Command: String, Codable, Sendable {
        case status, invite, unmount, pause, resume, log, restore, retain, merging, check
        case conflicts, resolve, explain, revoke, retire, export

        /// Whether the answer may take minutes; the daemon gives such one after the other.
        package var takesLong: Bool { [.restore, .export, .check].contains(self) }
    }

    package var command: Command
    /// `log`, `restore`, `conflicts`, `resolve`, `explain`: below the mount point, without a leading slash;
    /// nil for the whole share.
    package var path: String?
    /// `log`: how many entries at most.
    package var limit: Int?
    /// `restore`: one of the file's versions.
    package var version: String?
    /// `restore`: milliseconds since 1970.
    package var at: UInt64?
    /// `restore`: below the mount point, if not the path itself. `export`: an absolute path outside; nil only lists.
    package var target: String?
    /// `retain`: nil asks.
    package var retention: RetentionPolicy?
    /// `merging`: the rules that are to hold, 0 for none; nil asks.
    package var mergeRules: UInt64?
    /// `resolve`: `ours`, `theirs`, `both`, or a version's id or device; nil to keep what is in `file`.
    package var keep: String?
    /// `resolve`: an absolute path to a merged file, which the daemon reads.
    package var file: String?
    /// `revoke`, `retire`, `export`: a member's name or key.
    package var device: String?
    /// `invite`: whether it is for another owner.
    package var isForOwner: Bool?
    /// `resolve`: the ids of the versions that it was merged from.
    package var seen: [String]?

    package init(
        _ command: Command, path: String? = nil, limit: Int? = nil, keep: String? = nil,
        file: String? = nil, seen: [String]? = nil
    ) {
        self.command = command
        self.path = path
        self.limit = limit
        self.keep = keep
        self.file = file
        self.seen = seen
    }
}

/// What the daemon answers: one line of JSON, with what the command asked for or with `error`.
package struct ControlResponse: Codable, Equatable, Sendable {
    package struct Failure: Codable, Equatable, Sendable {
        package var message: String
        /// Of the command line, as its help lists them.
        package var exitCode: Int32

        package init(message: String, exitCode: Int32) {
            self.message = message
            self.exitCode = exitCode
        }
    }

    package var error: Failure?
    package var status: ShareStatus?
    package var log: [LogEntry]?
    /// `invite`.
    package var link: String?
    /// `check`: for people.
    package var lines: [String]?
    package var restored: RestoreReport?
    package var retention: RetentionPolicy?
    package var merging: MergeSetting?
    package var conflicts: [ConflictReport]?
    package var explanation: ExplanationReport?
    package var exported: ExportReport?

    package init(
        status: ShareStatus? = nil, log: [LogEntry]? = nil, link: String? = nil,
        lines: [String]? = nil, conflicts: [ConflictReport]? = nil,
        explanation: ExplanationReport? = nil, error: Failure? = nil,
        restored: RestoreReport? = nil, retention: RetentionPolicy? = nil,
        merging: MergeSetting? = nil, exported: ExportReport? = nil
    ) {
        self.exported = exported
        self.merging = merging
        self.restored = restored
        self.retention = retention
        self.lines = lines
        self.conflicts = conflicts
        self.explanation = explanation
        self.status = status
        self.log = log
        self.link = link
        self.error = error
    }
}

/// One operation behind a path, as `holdfast log` tells it.
package struct LogEntry: Codable, Equatable, Sendable {
    /// By the writer's clock, RFC 3339 in UTC.
    package var time: String
    package var device: String
    /// As the design names it: `make`, `place`, `remove`, `write`, `setAttribute` and so on.
    package var operation: String
    /// Below the mount point; as good as it can be told for what is gone.
    package var path: String
    /// For people: what exactly.
    package var detail: String
    /// Of a `write`: what `restore` takes, and whether the file shows it.
    package var version: String?
    package var state: String?

    package init(
        time: String, device: String, operation: String, path: String, detail: String,
        version: String? = nil, state: String? = nil
    ) {
        self.version = version
        self.state = state
        self.time = time
        self.device = device
        self.operation = operation
        self.path = path
        self.detail = detail
    }
}
