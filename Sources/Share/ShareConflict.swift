package import Base

/// One name that more than one thing wants, or under which a file has more than one version, and what
/// became of each.
package struct ShareConflict: Equatable, Sendable {
    package enum Kind: String, Codable, Sendable {
        /// One file was written to by several devices that did not know of each other.
        case versions
        /// Several files or folders came to have one name.
        case name
        /// The name is the mount's own.
        case reserved
    }

    /// Names from the root; the last one is what is contested.
    package var path: [[UInt8]]
    package var kind: Kind
    /// The one that has the name, if any has, then the others, the earlier before the later.
    package var versions: [Version]

    /// Whether one of the others is listed as a conflict only: a second name would do harm where it is.
    package var isHidden: Bool { versions.contains { !$0.isShown && $0.shownName == nil } }

    package struct Version: Equatable, Sendable {
        /// Of the operation that it comes from: an `OperationName`.
        package var id: String
        /// What `Volume.openContent` reads of a file.
        package var node: NodeID
        package var kind: FileKind
        /// Who made it, by its name.
        package var device: String
        /// Whether this device did.
        package var isOwn: Bool
        /// When, by that device's clock.
        package var time: Timestamp
        /// In bytes, of a file.
        package var size: UInt64
        package var modified: Timestamp
        /// Whether it has the name.
        package var isShown: Bool
        /// The name it shows under beside it, if it does.
        package var shownName: [UInt8]?
        package var reason: Reason
        /// Permission bits and owner of the file, as the share has them.
        package var mode: UInt32
        package var target: [UInt8]
    }

    /// Why a version has the name, or not.
    package enum Reason: String, Codable, Sendable {
        case writtenLast, writtenEarlier, nameFirst, nameLater, folderFirst, fileFirst, reserved

        /// For people.
        package var words: String {
            switch self {
            case .writtenLast: "it was written last"
            case .writtenEarlier: "it was written earlier, by a device that had not seen the other"
            case .nameFirst: "it had the name first"
            case .nameLater: "another had the name first"
            case .folderFirst: "a folder goes before what is none"
            case .fileFirst: "a file goes before links and the like"
            case .reserved: "the mount shows its own folder under this name"
            }
        }
    }
}

/// How a conflict is to be settled.
package enum Resolution: Equatable, Sendable {
    /// The version that this device made.
    case ours
    /// The one that another device made.
    case theirs
    /// Each becomes a file of its own, under the name it shows.
    case both
    /// The version with this id, or made by the device of this name.
    case version(String)
}

/// Why a conflict was not settled; nothing has changed then.
package enum ResolutionError: Error, Equatable, Sendable, CustomStringConvertible {
    case noConflict
    /// No version, or several, are meant; those there are, in words.
    case notOne(wanted: String, found: Int, versions: [String])
    /// A whole folder would be removed.
    case folder
    /// Two names would do harm where the conflict is.
    case hidden
    case notFiles
    case volume(VolumeError)

    package var description: String {
        switch self {
        case .noConflict: "there is no conflict at this path: holdfast conflicts lists them"
        case .notOne(let wanted, let found, let versions):
            (found == 0 ? "no version is \(wanted)" : "\(found) versions are \(wanted)")
                + ": name one of \(versions.joined(separator: ", "))"
        case .folder:
            "a folder is in the conflict, and would be removed with all that is in it: "
                + "rename or remove it yourself, or keep both"
        case .hidden:
            "a second file would do harm here (in a .git folder, or beside a database in use): keep "
                + "one, and copy the other out of .holdfast/conflicts if you need it"
        case .notFiles: "only files can be merged: keep one of the versions, or both"
        case .volume(.readOnly): "this device may not write to the share"
        case .volume(let error): "\(error)"
        }
    }
}
