internal import CFuse3
internal import Share
internal import Synchronization

/// Names of extended attributes that the mount itself knows.
enum ExtendedAttribute {
    static let capability = [UInt8]("security.capability".utf8)
    /// Labels are this machine's policy and mean nothing on another, so there are none here. Said of
    /// one file, `ls -l` and `cp -a` ask for no other's.
    static let label = [UInt8]("security.selinux".utf8)
    static let trusted = [UInt8]("trusted.".utf8)
    /// What Linux knows, but for `system.`: ACLs live there, which a mount may have.
    static let spaces = ["user.", "trusted.", "security."].map { [UInt8]($0.utf8) }

    /// What the mount itself tells of a file. Read by name alone: in no list, so that who copies a file
    /// with all its attributes does not take them along, and never stored.
    static let own = [UInt8]("user.holdfast.".utf8)

    static func isKnown(_ name: [UInt8]) -> Bool {
        spaces.contains { name.count > $0.count && name.starts(with: $0) } && name != label
    }
}

extension Filesystem {
    func getxattr(
        _ id: InodeID, _ name: UnsafePointer<CChar>, size: Int, _ reply: consuming FuseReply
    ) {
        if id.isVirtual { return reply.fail(ENODATA) }
        let result = Result { () throws(VolumeError) in
            let name = try unsafe attributeName(name)
            let inode = try inode(id)
            if name.starts(with: ExtendedAttribute.own) { return try told(name, of: inode) }
            // The kernel asks before the first write to a file.
            if name == ExtendedAttribute.capability, inode.file?.hasNoCapability == true {
                throw .noAttribute
            }
            let value = try value(of: name, inode)
            return try AccessList(name).map { (list) throws(VolumeError) in
                try shown(list, value, of: inode)
            } ?? value
        }
        answer(result, size: size, reply)
    }

    private func value(of name: [UInt8], _ inode: Inode) throws(VolumeError) -> [UInt8] {
        guard let orphan = inode.orphan else {
            return try volume.extendedAttribute(name, of: inode.node)
        }
        return try extended(orphan, of: inode.node) { (all) throws(VolumeError) in
            guard let value = all[name] else { throw .noAttribute }
            return value
        }
    }

    func listxattr(_ id: InodeID, size: Int, _ reply: consuming FuseReply) {
        // As disk filesystems do: who may not read them does not see them either.
        if id.isVirtual { return answer(.success([]), size: size, reply) }
        let showsTrusted = reply.caller.isRoot
        let result = Result { () throws(VolumeError) -> [UInt8] in
            let inode = try inode(id)
            let names =
                if let orphan = inode.orphan {
                    try extended(orphan, of: inode.node) { $0.keys.sorted(by: precedes) }
                } else {
                    try volume.extendedAttributeNames(of: inode.node)
                }
            var list: [UInt8] = []
            for name in names where isKnown(name) {
                guard !name.starts(with: ExtendedAttribute.own) else { continue }
                guard showsTrusted || !name.starts(with: ExtendedAttribute.trusted) else {
                    continue
                }
                list.append(contentsOf: name)
                list.append(0)
            }
            return list
        }
        answer(result, size: size, reply)
    }

    func setxattr(
        _ id: InodeID, _ name: UnsafePointer<CChar>, _ value: UnsafeRawBufferPointer, flags: Int32,
        _ reply: consuming FuseReply
    ) {
        if let list = unsafe accessList(name) {
            // The request holds the value until the answer.
            return setAccessList(list, of: id, to: unsafe [UInt8](value), flags: flags, reply)
        }
        let result = Result { () throws(VolumeError) in
            let name = try unsafe attributeName(name)
            let inode = try inode(id)
            guard !name.starts(with: ExtendedAttribute.own) else { throw .notPermitted }
            guard value.count <= MountLimits.attributeValueSizeMax else { throw .tooLarge }
            if name == ExtendedAttribute.capability { inode.file?.expectPrivileges() }
            let bytes = unsafe [UInt8](value)
            let mustExist = Int(flags) & HOLDFAST_XATTR_REPLACE != 0
            let mustBeNew = Int(flags) & HOLDFAST_XATTR_CREATE != 0
            guard let orphan = inode.orphan else {
                return try table.meaning.withLock { _ throws(VolumeError) in
                    try volume.setExtendedAttribute(
                        name, of: try self.inode(id).node, to: bytes, mustExist: mustExist,
                        mustBeNew: mustBeNew)
                }
            }
            try extended(orphan, of: inode.node) { (all) throws(VolumeError) in
                if mustExist, all[name] == nil { throw .noAttribute }
                if mustBeNew, all[name] != nil { throw .attributeExists }
                all[name] = bytes
            }
            orphan.attributes.withLock { $0.changed = Clock.wallTime() }
        }
        switch result {
        case .success: reply.succeed()
        case .failure(.tooLarge): reply.fail(E2BIG)
        case .failure(let error): refuse(reply, error)
        }
    }

    func removexattr(
        _ id: InodeID, _ name: UnsafePointer<CChar>, _ reply: consuming FuseReply
    ) {
        // The kernel takes capabilities away before a size is set: not for a size that is there already.
        if replay.isOwn(reply.caller) { return reply.succeed() }
        let isList = unsafe accessList(name) != nil
        let result = Result { () throws(VolumeError) in
            let name = try unsafe attributeName(name)
            let inode = try inode(id)
            guard !name.starts(with: ExtendedAttribute.own) else { throw .notPermitted }
            guard let orphan = inode.orphan else {
                return try table.meaning.withLock { _ throws(VolumeError) in
                    try volume.removeExtendedAttribute(name, of: try self.inode(id).node)
                }
            }
            try extended(orphan, of: inode.node) { (all) throws(VolumeError) in
                guard all.removeValue(forKey: name) != nil else { throw .noAttribute }
            }
            orphan.attributes.withLock { $0.changed = Clock.wallTime() }
        }
        switch result {
        case .success: reply.succeed()
        // As disk filesystems have it: tar takes away what it has not looked for.
        case .failure(.noAttribute) where isList: reply.succeed()
        case .failure(let error): refuse(reply, error)
        }
    }

    private func attributeName(_ name: UnsafePointer<CChar>) throws(VolumeError) -> [UInt8] {
        let name = try unsafe self.name(name)
        // A space alone names nothing.
        guard !ExtendedAttribute.spaces.contains(name) else { throw .invalidName }
        guard isKnown(name) else { throw .notSupported }
        return name
    }

    private func isKnown(_ name: [UInt8]) -> Bool {
        ExtendedAttribute.isKnown(name) || options.acl && AccessList(name) != nil
    }

    /// The list that a name means, where the mount has them.
    private func accessList(_ name: UnsafePointer<CChar>) -> AccessList? {
        guard options.acl, let name = try? unsafe self.name(name) else { return nil }
        return AccessList(name)
    }

    /// Changes a file without a name.
    func change(_ orphan: Orphan, of node: NodeID, _ change: AttributeChange) throws(VolumeError) {
        if !change.extended.isEmpty {
            try extended(orphan, of: node) { (all) throws(VolumeError) in
                for item in change.extended { all[item.name] = item.value }
            }
        }
        let now = Clock.wallTime()
        orphan.attributes.withLock { $0.apply(change, now: now) }
    }

    /// All that a node has.
    func extendedAttributes(of node: NodeID) throws(VolumeError) -> [[UInt8]: [UInt8]] {
        var all: [[UInt8]: [UInt8]] = [:]
        for name in try volume.extendedAttributeNames(of: node) {
            all[name] = try volume.extendedAttribute(name, of: node)
        }
        return all
    }

    /// Reads or changes those of a file without a name: nobody else sees them.
    private func extended<Result>(
        _ orphan: Orphan, of node: NodeID,
        _ body: (inout [[UInt8]: [UInt8]]) throws(VolumeError) -> Result
    ) throws(VolumeError) -> Result {
        if orphan.extended.withLock({ $0 == nil }) {
            let stored = try extendedAttributes(of: node)
            orphan.extended.withLock { $0 = $0 ?? stored }
        }
        return try orphan.extended.withLock { (extended) throws(VolumeError) in
            var all = extended ?? [:]
            defer { extended = all }
            nonisolated(unsafe) let result = try body(&all)
            return unsafe result
        }
    }

    private func precedes(_ left: [UInt8], _ right: [UInt8]) -> Bool {
        left.lexicographicallyPrecedes(right)
    }

    /// A size of 0 asks how long the value is.
    private func answer(
        _ result: Result<[UInt8], VolumeError>, size: Int, _ reply: consuming FuseReply
    ) {
        switch result {
        case .success(let value):
            if size == 0 {
                reply.attributeSize(value.count)
            } else if size < value.count {
                reply.fail(ERANGE)
            } else {
                reply.bytes(value)
            }
        case .failure(let error): refuse(reply, error)
        }
    }
}
