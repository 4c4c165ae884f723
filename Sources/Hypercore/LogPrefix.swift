package import Base

/// The first blocks of a log, by the hashes over them.
package struct LogPrefix: Equatable, Sendable {
    package let length: UInt64
    /// The full roots of `length`.
    let roots: [TreeNode]
}

/// How far two histories of a log are the same, as one look tells.
package struct LogAgreement: Equatable, Sendable {
    /// They are the same in these first blocks, at least.
    package let common: UInt64
    /// The length at which to compare next; nil if the block after `common` differs, or was not compared.
    package let next: UInt64?
}

extension Log {
    /// Compares this log with another history of it. Each look at the length that the last one named halves what is
    /// not known; blocks before `fetchStart` are taken for the same.
    package func agreement(with prefix: LogPrefix) throws(StorageError) -> LogAgreement {
        var common: UInt64 = 0
        for root in prefix.roots {
            let end = FlatTree.lengthSpanned(root.index)
            let own = try node(at: root.index)
            guard own == root || end <= fetchStart else {
                let count = FlatTree.leafCount(root.index)
                return LogAgreement(common: common, next: count > 1 ? common &+ count / 2 : nil)
            }
            common = end
        }
        return LogAgreement(common: common, next: nil)
    }
}
