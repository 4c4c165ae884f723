import Base
import FileTree
import TextMerge

/// Why a file shows what it shows.
package struct ContentExplanation: Codable, Equatable, Sendable {
    /// One version.
    package struct Version: Codable, Equatable, Sendable {
        /// As `OperationName` writes it.
        package var name: String
        package var device: String
        /// Milliseconds since 1970, by the writer's clock.
        package var time: UInt64
        package var size: UInt64
        /// Whether somebody removed it while it showed as a copy.
        package var isClosed: Bool
    }

    package enum Verdict: String, Codable, Sendable {
        /// Nothing was ever written.
        case empty
        /// There is one head, or all heads have the same bytes.
        case single
        case merged
        case conflict
        /// Bytes that are needed to tell are not here yet.
        case waiting
    }

    /// In the order of operations.
    package var heads: [Version]
    /// For each head but the first: the last versions it has in common with those before it. Empty is
    /// the empty file that was there before any version.
    package var bases: [[Version]]
    package var verdict: Verdict
    /// The share's rules of merging; 0 is none.
    package var rules: UInt64
    /// Which rule decided, for people.
    package var rule: String
}

extension ShareVolume {
    /// Why a file shows what it shows: its heads, what they have in common, and what was made of them.
    package func explainContent(of node: NodeID) throws(VolumeError) -> ContentExplanation {
        try engine.withLock { (engine) throws(VolumeError) in
            let found = try engine.node(try engine.operation(node))
            guard found.kind == .file else { throw .notSupported }
            return try Engine.stored { () throws(StorageError) in
                try engine.explainContent(of: found.object)
            }
        }
    }
}

extension Engine {
    func explainContent(of object: ObjectID) throws(StorageError)
        -> ContentExplanation
    {
        let heads = try storage.heads(of: object).sorted {
            writers.precedes($0.stamp, $1.stamp)
        }
        let merge = try tree.merge(of: object)
        var explanation = ContentExplanation(
            heads: heads.map(explained), bases: [], verdict: .single, rules: tree.mergeRules,
            rule: "")
        if let merge, let plan = try tree.plan(merge.question) {
            explanation.bases = plan.steps.map { $0.bases.compactMap { $0.map(explained) } }
        }
        let names = try tree.entries(of: object).map(\.placement.name)
        (explanation.verdict, explanation.rule) = verdict(
            heads, merge, isWhole: names.contains(where: MergeRules.isWhole))
        return explanation
    }

    private func verdict(_ heads: [VersionRow], _ merge: HeadsMerge?, isWhole: Bool)
        -> (ContentExplanation.Verdict, String)
    {
        let open = heads.filter { !$0.isClosed }
        guard !heads.isEmpty else { return (.empty, "nothing was written yet") }
        if heads.count == 1 { return (.single, "every other version was succeeded by this one") }
        if open.isEmpty {
            return (.single, "all versions were removed as copies: the latest stays")
        }
        if Set(open.map(\.content)).count == 1 {
            return (.single, "all latest versions have the same bytes")
        }
        switch merge?.verdict {
        case .merged:
            let kind = merge?.question.isLineLike == true ? "; blocks at one place are kept" : ""
            return (.merged, "the changes do not overlap: merged by lines, then by words\(kind)")
        case .conflict(.overlap): return (.conflict, "both changed the same words")
        case .conflict(.notText): return (.conflict, Self.onlyText)
        case .conflict(.tooLarge): return (.conflict, "the merge would be too large for a text")
        case .conflict(.ambiguousBase):
            return (.conflict, "the versions have no one last version in common")
        case .pending: return (.waiting, "bytes that are needed to merge are not here yet")
        case nil where isWhole:
            return (.conflict, "git keeps references in a file of this name: it is never merged")
        case nil where tree.mergeRules > MergeRules.version:
            return (.conflict, mergeNotice ?? "")
        case nil where tree.mergeRules == 0: return (.conflict, "not merged in this share")
        case nil where heads.count > FileTreeLimits.mergedHeadsMax:
            let limit = FileTreeLimits.mergedHeadsMax
            return (.conflict, "more than \(limit) versions are not merged")
        case nil: return (.conflict, Self.onlyText)
        }
    }

    private static let onlyText = "only UTF-8 of at most 4 MiB and 100,000 lines is merged"

    private func explained(_ row: VersionRow) -> ContentExplanation.Version {
        let key = writers.key(of: row.id.writer)
        let member = membership.member(log: key)
        return ContentExplanation.Version(
            name: OperationName.text(of: row.id, writers),
            device: member.map { String(decoding: $0.name, as: UTF8.self) } ?? "?",
            time: row.time.milliseconds, size: row.size, isClosed: row.isClosed)
    }
}
