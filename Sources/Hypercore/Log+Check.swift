package import Base

/// What a check of one log found.
package struct LogReport: Equatable, Sendable {
    package var blocks: UInt64 = 0
    /// One line each, for people.
    package var problems: [String] = []
}

extension Log {
    /// Hashes every stored block again and compares with the tree, the tree with the signature.
    ///
    /// Nothing is changed. Blocks that were never here, or were cleared, are no problem.
    package func check() throws(StorageError) -> LogReport {
        var report = LogReport()
        guard length > 0 else { return report }
        var rebuilt = GrowingTree()
        for index in 0..<length {
            guard let bytes = try storedBlock(at: index) else {
                if index < contiguousLength {
                    report.problems.append("log \(key): block \(index) is missing")
                }
                continue
            }
            report.blocks += 1
            let leaf = TreeHash.leaf(block: index, bytes: bytes)
            if try node(at: 2 * index) != leaf {
                report.problems.append("log \(key): block \(index) is not what was signed")
            }
            if rebuilt.length == index { _ = rebuilt.append(leaf) }
        }
        if rebuilt.length == length, rebuilt.hash != treeHash {
            report.problems.append("log \(key): its blocks do not make its tree")
        }
        if let rules, !rules.accepts(signature, of: tree, fork: fork) {
            report.problems.append("log \(key): the signature is wrong")
        }
        return report
    }
}
