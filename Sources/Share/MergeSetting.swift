import Base
import FileTree
import TextMerge

/// How the members of a share merge texts that several of them changed: by the rules that one of its settings
/// names. A release that does not know them merges nothing, and says so: it must never guess.
package struct MergeSetting: Codable, Equatable, Sendable {
    /// What the setting names: 0 for no merging, `UInt64.max` for what is no number.
    package var rules: UInt64
    /// The newest rules that this release knows; it knows all before them.
    package var newest: UInt64

    package init(rules: UInt64, newest: UInt64 = MergeRules.version) {
        self.rules = rules
        self.newest = newest
    }

    /// Whether this release merges by them, or merges nothing because nothing is to be.
    package var isKnown: Bool { rules <= newest }
}

extension ShareVolume {
    /// How texts are merged here and now.
    package var mergeSetting: MergeSetting {
        engine.withLock { MergeSetting(rules: $0.tree.mergeRules) }
    }

    /// Sets for all members by which rules texts merge; what stands side by side by then is looked at again.
    ///
    /// - Parameter rules: 0 for no merging.
    /// - Throws: `.notSupported` for rules that this release does not know, and while the share has such:
    ///   a member that cannot see what they mean must not take them back.
    package func setMergeRules(_ rules: UInt64) throws(VolumeError) {
        try change { (engine) throws(VolumeError) in
            guard rules <= MergeRules.version, engine.tree.mergeRules <= MergeRules.version else {
                throw .notSupported
            }
            guard rules != engine.tree.mergeRules else { return }
            try engine.author(
                .set(.init(key: FileTree.mergeRulesSetting, value: Array("\(rules)".utf8))))
        }
        environment.wake()
    }
}
