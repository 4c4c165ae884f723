package import Base

/// One change, as its author meant it. A block holds some, and they take effect together.
///
/// References name what the author had seen; an operation that refers to something its block had not
/// seen is refused.
package enum Operation: Equatable, Sendable {
    case make(Make)
    case place(Place)
    case remove(Remove)
    case write(Write)
    case setAttribute(SetAttribute)
    case setXattr(SetXattr)
    case removeXattr(RemoveXattr)
    case admit(Admit)
    case retire(Retire)
    case revoke(Revoke)
    case invite(Invite)
    case set(Setting)
    case checkpoint(Checkpoint)

    /// Creates an object; it shows once an entry places it.
    package struct Make: Equatable, Sendable {
        package var kind: ObjectKind
        /// Permission bits with setuid, setgid and sticky: 0 to 0o7777.
        package var mode: UInt16
        package var uid: UInt32
        package var gid: UInt32
        /// The first value of all its times.
        package var created: Timestamp
        /// Of device nodes, as `makedev` packs it; 0 for others.
        package var device: UInt64
        /// Of symlinks, 1 to `Limits.targetSizeMax` bytes without NUL; empty for others.
        package var target: [UInt8]

        package init(
            kind: ObjectKind, mode: UInt16, uid: UInt32, gid: UInt32, created: Timestamp,
            device: UInt64 = 0, target: [UInt8] = []
        ) {
            self.kind = kind
            self.mode = mode
            self.uid = uid
            self.gid = gid
            self.created = created
            self.device = device
            self.target = target
        }
    }

    /// Gives an object a name: a new entry, or a new place for an entry that exists.
    ///
    /// A directory has one entry, placed in the block that makes it.
    package struct Place: Equatable, Sendable {
        package enum Subject: Equatable, Sendable {
            case new(ObjectID)
            /// `from` is the directory that showed the entry until now: its times change too.
            case existing(EntryID, from: ObjectID)
        }

        package var subject: Subject
        package var parent: ObjectID
        package var name: [UInt8]

        package init(_ subject: Subject, in parent: ObjectID, named name: [UInt8]) {
            self.subject = subject
            self.parent = parent
            self.name = name
        }
    }

    /// Removes an entry; or, with a version, closes that head of the entry's object: "remove this
    /// conflict copy".
    package struct Remove: Equatable, Sendable {
        package var entry: EntryID
        /// The directory that showed it: its times change.
        package var from: ObjectID
        package var version: VersionID?

        package init(_ entry: EntryID, from: ObjectID, version: VersionID? = nil) {
            self.entry = entry
            self.from = from
            self.version = version
        }
    }

    /// A new version of a file.
    package struct Write: Equatable, Sendable {
        package var object: ObjectID
        /// The versions whose bytes the writer had been shown; none for the first content.
        package var parents: [VersionID]
        /// In bytes, of the content.
        package var size: UInt64
        package var modified: Timestamp
        /// What the chunk layer makes of the bytes; equal contents are equal here.
        package var content: [UInt8]

        package init(
            object: ObjectID, parents: [VersionID], size: UInt64, modified: Timestamp,
            content: [UInt8]
        ) {
            self.object = object
            self.parents = parents
            self.size = size
            self.modified = modified
            self.content = content
        }
    }

    /// Sets some attributes; each is a register of its own.
    package struct SetAttribute: Equatable, Sendable {
        package var object: ObjectID
        package var mode: UInt16?
        package var uid: UInt32?
        package var gid: UInt32?
        package var modified: Timestamp?
        package var accessed: Timestamp?

        package init(
            object: ObjectID, mode: UInt16? = nil, uid: UInt32? = nil, gid: UInt32? = nil,
            modified: Timestamp? = nil, accessed: Timestamp? = nil
        ) {
            self.object = object
            self.mode = mode
            self.uid = uid
            self.gid = gid
            self.modified = modified
            self.accessed = accessed
        }
    }

    package struct SetXattr: Equatable, Sendable {
        package var object: ObjectID
        package var name: [UInt8]
        package var value: [UInt8]

        package init(object: ObjectID, name: [UInt8], value: [UInt8]) {
            self.object = object
            self.name = name
            self.value = value
        }
    }

    package struct RemoveXattr: Equatable, Sendable {
        package var object: ObjectID
        package var name: [UInt8]

        package init(object: ObjectID, name: [UInt8]) {
            self.object = object
            self.name = name
        }
    }
}
