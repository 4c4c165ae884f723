package import Base

/// Why a path shows what it shows: the operations behind it and the rules between them.
package struct Explanation: Equatable, Sendable {
    /// One operation.
    package struct Cause: Equatable, Sendable {
        /// An `OperationName`.
        package var operation: String
        package var device: String
        /// By that device's clock.
        package var time: Timestamp
    }

    /// Which rule picked the bytes.
    package enum ContentRule: String, Codable, Sendable {
        /// Nothing was ever written to it.
        case neverWritten
        /// There is one head: its bytes.
        case onlyHead
        /// All heads have the same bytes.
        case equalHeads
        /// The others were removed, each by somebody who had seen it.
        case othersClosed
        /// Of several heads that are not merged the one that was written last.
        case lastWritten
        /// It is one of those that were written earlier.
        case conflictCopy
        /// What all heads have changed, together.
        case merged
        /// They may merge, but bytes that are needed to tell are not here yet.
        case waiting
    }

    /// A version that no other has succeeded.
    package struct Head: Equatable, Sendable {
        package enum State: String, Codable, Sendable {
            /// Its bytes are the file's.
            case shown
            /// It shows beside the file.
            case copy
            /// It would show beside the file, where a second name would do harm.
            case listed
            /// Somebody removed it.
            case closed
        }

        package var cause: Cause
        package var size: UInt64
        package var parents: [String]
        package var state: State
        /// The name of a copy.
        package var shownName: [UInt8]?
        /// The last versions that it and the one shown both come from; of a merged one, and those that
        /// were merged before it. Empty for the first of these, and where that is the empty file.
        package var bases: [String]
    }

    /// Names from the root, as the path was given.
    package var path: [[UInt8]]
    package var kind: FileKind
    /// What made the object.
    package var made: Cause
    /// What put it where it is; nil for the root.
    package var placed: Cause?
    /// What last touched it: a write, an attribute, a name.
    package var changed: Cause
    /// How many names it has.
    package var names: UInt64
    /// Of a directory: the operations that made those with which it is one.
    package var unitedWith: [Cause]
    /// Of a file.
    package var content: ContentRule?
    /// Of merged content: the version of the rules that say how.
    package var rulesVersion: UInt64?
    /// What was made of several heads, for people: how they were merged, or why not.
    package var merging: String?
    /// Of a file, the latest first.
    package var heads: [Head]
    /// Of what shares its name with others, or shows beside it.
    package var conflict: ShareConflict?
}
