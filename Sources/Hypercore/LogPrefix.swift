package import Base
internal import Wire

/// The first blocks of a log, by the hashes over them.
package struct LogPrefix: Equatable, Sendable {
    package let length: UInt64
    /// The full roots of `length`.
    let roots: [TreeNode]
}

/// How far two histories of a log are the same, as far as is known.
package struct LogAgreement: Equatable, Sendable {
    /// They are the same in these first blocks.
    package let common: UInt64
    /// And differ in one of so many after them; 0 if no difference was found.
    package let doubtful: UInt64

    /// The length at which to compare next; nil if the block after `common` differs, or there is none to compare.
    package var next: UInt64? { doubtful > 1 ? common &+ doubtful / 2 : nil }

    /// Whether they agree where another comparison found a difference: then this was not the same history.
    package func contradicts(_ difference: LogAgreement) -> Bool {
        common >= difference.common &+ difference.doubtful
    }

    /// What is known by another comparison, which found a difference, too.
    package func limited(by difference: LogAgreement) -> LogAgreement {
        guard !contradicts(difference) else { return difference }
        let end = difference.common &+ difference.doubtful &- common
        return LogAgreement(common: common, doubtful: doubtful > 0 ? min(doubtful, end) : end)
    }
}

extension Log {
    /// Compares this log with what is here of another history of it: as far as the roots of that tell.
    package func agreement(with branch: Log) throws(StorageError) -> LogAgreement {
        let least = LogPrefix(length: branch.length, roots: branch.tree.roots)
        let common = try agreement(with: least, after: nil).common
        // The shorter one may be all that both have.
        let end = min(length, branch.length) &+ 1
        return LogAgreement(common: common, doubtful: end > common ? end &- common : 0)
    }

    /// Compares this log with a proof that was kept of another history of it.
    ///
    /// - Parameter evidence: as `LogReplication.Effect.conflict` gave it.
    /// - Returns: nil if it shows no difference, or is longer than this log.
    package func difference(from evidence: [UInt8]) throws(StorageError) -> LogAgreement? {
        var reader = WireReader(evidence.span)
        guard let message = try? DataMessage(from: &reader),
            let prefix = try? prefix(from: message.proof), prefix.length <= length
        else { return nil }
        for root in prefix.roots where FlatTree.lengthSpanned(root.index) > fetchStart {
            guard try node(at: root.index) != nil else { return nil }
        }
        let agreement = try agreement(with: prefix, after: nil)
        return agreement.doubtful > 0 ? agreement : nil
    }

    /// Compares this log with another history of it. A look at the length that the last one named halves what is not
    /// known; blocks before `fetchStart` are taken for the same.
    ///
    /// - Parameter known: from the last look; nil at the first.
    package func agreement(with prefix: LogPrefix, after known: LogAgreement?)
        throws(StorageError) -> LogAgreement
    {
        var common: UInt64 = 0
        for root in prefix.roots {
            let end = FlatTree.lengthSpanned(root.index)
            let own = try node(at: root.index)
            guard own == root || end <= fetchStart else {
                return LogAgreement(common: common, doubtful: FlatTree.leafCount(root.index))
            }
            common = end
        }
        let end = known.map { $0.common &+ $0.doubtful } ?? 0
        return LogAgreement(common: common, doubtful: end > common ? end &- common : 0)
    }
}
