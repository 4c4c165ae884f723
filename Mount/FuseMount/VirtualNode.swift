package import Base
package import Share

/// Something that a mount shows and its share does not hold, such as how the share is doing: whoever
/// mounts makes it up. Always read-only.
package struct VirtualNode: Sendable {
    package enum Body: Sendable {
        case directory(any VirtualDirectory)
        /// Made anew for each opening, so that who reads it sees one moment. `stat` shows no size.
        case text(@Sendable () throws(VolumeError) -> [UInt8])
        /// What the share has stored of a file: `size` is known, the rest is asked for at opening.
        case content(size: UInt64, @Sendable () throws(VolumeError) -> OpenedContent)
        /// A symlink: its target.
        case link([UInt8])
    }

    package var body: Body
    /// Tells apart what shows under one name at different times: other bytes, another identity.
    package var identity: UInt64
    /// Permission bits; those for writing are taken away.
    package var mode: UInt32
    /// Whose it shows as; nil for whoever mounted.
    package var owner: (user: UInt32, group: UInt32)?
    /// Nil: of a text the moment of looking, of others that of mounting.
    package var modified: Timestamp?

    package init(
        _ body: Body, identity: UInt64 = 0, mode: UInt32? = nil,
        owner: (user: UInt32, group: UInt32)? = nil, modified: Timestamp? = nil
    ) {
        self.body = body
        self.identity = identity
        self.owner = owner
        self.modified = modified
        let usual: UInt32 =
            switch body {
            case .directory: 0o555
            case .text, .content: 0o444
            case .link: 0o777
            }
        self.mode = mode.map { $0 & 0o7555 } ?? usual
    }

    package var kind: FileKind {
        switch body {
        case .directory: .directory
        case .text, .content: .file
        case .link: .symlink
        }
    }
}

/// A directory of virtual nodes. Asked on the kernel's behalf, from many threads, each time anew:
/// nothing is cached, so no call may wait for the network.
package protocol VirtualDirectory: Sendable {
    /// - Throws: `.notFound` for what is not there.
    func node(named name: [UInt8]) throws(VolumeError) -> VirtualNode
    /// Every name that `node(named:)` finds, each once, in a stable order.
    func names() throws(VolumeError) -> [VirtualName]
}

/// One row of a virtual directory's listing.
package struct VirtualName: Equatable, Sendable {
    package var name: [UInt8]
    package var kind: FileKind
    /// As the node has it.
    package var identity: UInt64

    package init(_ name: [UInt8], _ kind: FileKind, identity: UInt64 = 0) {
        self.name = name
        self.kind = kind
        self.identity = identity
    }
}
