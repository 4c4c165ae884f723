/// What a name resolves to: an object of the tree, or one version of a file shown as a conflict copy.
///
/// The raw value is the object's (or the version's) `OperationID`; it is stable across restarts on
/// one device and means nothing on another.
package struct NodeID: RawRepresentable, Hashable, Sendable {
    package let rawValue: UInt64
    package init(rawValue: UInt64) { self.rawValue = rawValue }

    /// The root directory of the share.
    package static let root = NodeID(rawValue: 1)
}

/// The kinds of object a share holds.
package enum FileKind: UInt8, Sendable {
    case file, directory, symlink, fifo, socket, characterDevice, blockDevice
}
