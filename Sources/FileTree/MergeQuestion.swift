package import TextMerge

/// What is to be found out about a file with several heads: whether they merge, and to what.
///
/// The tree asks, since it knows heads and names; who has the bytes answers (`FileTree.answer`). Equal
/// questions have equal answers, on every device.
package struct MergeQuestion: Hashable, Sendable {
    package let object: ObjectID
    /// Those that nobody closed, in the order of operations; at least two.
    package let heads: [VersionID]
    /// Whether lines stand for themselves, by all visible names of the file: see
    /// `MergeRules.isLineLike`.
    package let isLineLike: Bool
}

/// What shows of several heads.
package enum MergeVerdict: Hashable, Sendable {
    /// Not known yet: this head shows alone, or nil: all of them, each under its name.
    ///
    /// A state of this device, that lasts until the bytes are here. Whoever saves meanwhile succeeds
    /// what was shown; the others go on being heads.
    case pending(shown: VersionID?)
    /// One file with this content, encoded as a version's is.
    case merged(size: UInt64, content: [UInt8])
    case conflict(MergeConflict)
}

/// A question and what is known of the answer: derived from the rows, and from bytes that the tree does
/// not have, so it is kept; but never in the digest, since another device may know more or less.
package struct HeadsMerge: Hashable, Sendable {
    package let question: MergeQuestion
    package var verdict: MergeVerdict

    package var isPending: Bool {
        if case .pending = verdict { true } else { false }
    }

    /// The content that a merge shows in place of its heads'.
    var shown: [UInt8]? {
        if case .merged(_, let content) = verdict { content } else { nil }
    }
}

/// How to answer a question: the heads, the earlier before the later, with the last versions that each has
/// in common with those before it.
package struct MergePlan: Hashable, Sendable {
    package struct Step: Hashable, Sendable {
        /// Nil is the empty file that was there before any version.
        package let bases: [VersionRow?]
        package let head: VersionRow
    }

    package let first: VersionRow
    package let steps: [Step]

    /// Every version whose bytes are needed, each once.
    package var versions: [VersionRow] {
        var known: Set<VersionID> = []
        let all = [first] + steps.flatMap { $0.bases.compactMap(\.self) + [$0.head] }
        return all.filter { known.insert($0.id).inserted }
    }
}
