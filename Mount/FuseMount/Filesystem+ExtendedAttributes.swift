internal import CFuse3
internal import Share

/// Names of extended attributes that the mount itself knows.
enum ExtendedAttribute {
    static let capability = [UInt8]("security.capability".utf8)
    /// ACLs live here; without them the kernel checks mode bits alone.
    static let systemPrefix = [UInt8]("system.".utf8)
}

extension Filesystem {
    func getxattr(
        _ id: InodeID, _ name: UnsafePointer<CChar>, size: Int, _ reply: consuming FuseReply
    ) {
        let result = Result { () throws(VolumeError) in
            let name = try unsafe attributeName(name)
            let inode = try inode(id)
            if inode.orphan != nil { throw .noAttribute }
            return try volume.extendedAttribute(name, of: inode.node)
        }
        answer(result, size: size, reply)
    }

    func listxattr(_ id: InodeID, size: Int, _ reply: consuming FuseReply) {
        let result = Result { () throws(VolumeError) -> [UInt8] in
            let inode = try inode(id)
            if inode.orphan != nil { return [] }
            var list: [UInt8] = []
            for name in try volume.extendedAttributeNames(of: inode.node) {
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
        let result = Result { () throws(VolumeError) in
            let name = try unsafe attributeName(name)
            let inode = try inode(id)
            guard inode.orphan == nil else { throw .notSupported }
            guard value.count <= MountLimits.attributeValueSizeMax else { throw .tooLarge }
            if name == ExtendedAttribute.capability { inode.file?.expectPrivileges() }
            try volume.setExtendedAttribute(
                name, of: inode.node, to: unsafe [UInt8](value),
                mustExist: Int(flags) & HOLDFAST_XATTR_REPLACE != 0,
                mustBeNew: Int(flags) & HOLDFAST_XATTR_CREATE != 0)
        }
        switch result {
        case .success: reply.succeed()
        case .failure(.tooLarge): reply.fail(E2BIG)
        case .failure(let error): reply.fail(code(error))
        }
    }

    func removexattr(
        _ id: InodeID, _ name: UnsafePointer<CChar>, _ reply: consuming FuseReply
    ) {
        let result = Result { () throws(VolumeError) in
            let name = try unsafe attributeName(name)
            let inode = try inode(id)
            guard inode.orphan == nil else { throw .noAttribute }
            try volume.removeExtendedAttribute(name, of: inode.node)
        }
        switch result {
        case .success: reply.succeed()
        case .failure(let error): reply.fail(code(error))
        }
    }

    private func attributeName(_ name: UnsafePointer<CChar>) throws(VolumeError) -> [UInt8] {
        let name = try unsafe self.name(name)
        guard !name.starts(with: ExtendedAttribute.systemPrefix) else { throw .notSupported }
        return name
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
        case .failure(let error): reply.fail(code(error))
        }
    }
}
