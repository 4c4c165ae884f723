import Base
package import FileTree

/// An operation as people and scripts name it: the first digits of the log's key, the block's number
/// and the place in it, as in `3f9a2b1c.12.3`. The same on every device.
package enum OperationName {
    static let keyDigits = 8

    package static func text(of id: OperationID, _ writers: WriterTable) -> String {
        "\(writers.key(of: id.writer).hex.prefix(keyDigits)).\(id.block).\(id.index)"
    }

    /// Whether a text names this operation: with as many of the key's digits as one likes.
    package static func matches(_ text: String, _ id: OperationID, _ writers: WriterTable)
        -> Bool
    {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 3, parts[0].count >= 4 else { return false }
        return writers.key(of: id.writer).hex.hasPrefix(parts[0].lowercased())
            && parts[1] == "\(id.block)" && parts[2] == "\(id.index)"
    }
}
