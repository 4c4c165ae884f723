/// What a change of the view means for whoever caches it.
package enum TreeChange: Hashable, Sendable {
    /// What showed under a name.
    package struct Shown: Hashable, Sendable {
        package var node: OperationID
        package var kind: ObjectKind

        package init(node: OperationID, kind: ObjectKind) {
            self.node = node
            self.kind = kind
        }
    }

    /// Another thing, or none, may show under this name; `before` did when the batch began. If a directory
    /// was there, all that was known of the names in it is to be forgotten too: it may have become one
    /// with another.
    case entry(directory: ObjectID, name: [UInt8], before: Shown?)
    /// Attributes or extended attributes that somebody set. For a directory: its listing too.
    case attributes(OperationID)
    /// Attributes that follow from other changes: a directory's times and listing, counts of links, the
    /// size of a file.
    case derived(OperationID)
    /// The bytes of a file.
    case content(ObjectID)
}
