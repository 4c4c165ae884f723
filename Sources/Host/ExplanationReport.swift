/// Why a path shows what it shows, as `holdfast explain` tells it. Times as in `LogEntry`.
package struct ExplanationReport: Codable, Equatable, Sendable {
    package struct Cause: Codable, Equatable, Sendable {
        package var operation: String
        package var device: String
        package var time: String

        package init(operation: String, device: String, time: String) {
            self.operation = operation
            self.device = device
            self.time = time
        }
    }

    package struct Head: Codable, Equatable, Sendable {
        package var version: Cause
        package var size: UInt64
        package var parents: [String]
        /// `shown`, `copy`, `listed` or `closed`.
        package var state: String
        package var shownName: String?
        package var bases: [String]

        package init(
            version: Cause, size: UInt64, parents: [String], state: String, shownName: String?,
            bases: [String]
        ) {
            self.version = version
            self.size = size
            self.parents = parents
            self.state = state
            self.shownName = shownName
            self.bases = bases
        }
    }

    package var path: String
    package var kind: String
    package var made: Cause
    package var placed: Cause?
    package var changed: Cause
    package var names: UInt64
    package var unitedWith: [Cause]
    /// `neverWritten`, `onlyHead`, `equalHeads`, `othersClosed`, `lastWritten`, `conflictCopy` or
    /// `merged`; nil for what is no file.
    package var rule: String?
    /// By which version of the rules it was merged.
    package var rulesVersion: UInt64?
    package var heads: [Head]
    package var conflict: ConflictReport?

    package init(
        path: String, kind: String, made: Cause, placed: Cause?, changed: Cause, names: UInt64,
        unitedWith: [Cause], rule: String?, rulesVersion: UInt64?, heads: [Head],
        conflict: ConflictReport?
    ) {
        self.path = path
        self.kind = kind
        self.made = made
        self.placed = placed
        self.changed = changed
        self.names = names
        self.unitedWith = unitedWith
        self.rule = rule
        self.rulesVersion = rulesVersion
        self.heads = heads
        self.conflict = conflict
    }
}
