/// What a change of the view means for whoever caches it.
package enum TreeChange: Hashable, Sendable {
    /// Another thing, or none, shows under this name. If a directory was there, all that was known of the
    /// names in it is to be forgotten too: it may have become one with another.
    case entry(directory: ObjectID, name: [UInt8])
    /// Attributes or extended attributes. For a directory: its listing too.
    case attributes(OperationID)
    /// The bytes of a file.
    case content(ObjectID)
}
