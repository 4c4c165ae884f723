/// What became of a merge.
package enum MergeResult: Equatable, Sendable {
    case clean([UInt8])
    case conflict(MergeConflict)
}

/// Why versions of a file are not merged.
package enum MergeConflict: UInt8, Sendable {
    /// Both sides changed the same words, or inserted something at one place where order may matter.
    case overlap = 1
    /// NUL, bytes that are not UTF-8, more than 4 MiB, or more than 100,000 lines.
    case notText = 2
    /// The merge would be more than a text may be.
    case tooLarge = 3
    /// Several bases could be the last common one, and they do not lead to the same bytes.
    case ambiguousBase = 4
}
