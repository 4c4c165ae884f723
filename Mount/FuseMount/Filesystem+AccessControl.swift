internal import CFuse3
internal import Share
internal import Synchronization

/// POSIX ACLs, for a mount that has them: the kernel asks for the list of whatever it checks, keeps it, and
/// leaves to us what else Linux does with them: the mode that goes with a list, and what is inherited.
///
/// They are recorded as extended attributes, in the kernel's layout; where such a list has what the mode
/// says too, the mode holds. So whatever devices do to both at once has one meaning.
extension Filesystem {
    /// Which of the two lists a directory may have; other things have the first only.
    enum AccessList: CaseIterable {
        case access
        /// What is made in the directory gets it.
        case inherited

        private static let accessName = [UInt8]("system.posix_acl_access".utf8)
        private static let inheritedName = [UInt8]("system.posix_acl_default".utf8)

        var name: [UInt8] { self == .access ? Self.accessName : Self.inheritedName }

        init?(_ name: [UInt8]) {
            switch name {
            case Self.accessName: self = .access
            case Self.inheritedName: self = .inherited
            default: return nil
            }
        }
    }

    /// The list as the kernel is to see it.
    ///
    /// - Parameter stored: as it is recorded.
    func shown(_ list: AccessList, _ stored: [UInt8], of inode: Inode) throws(VolumeError)
        -> [UInt8]
    {
        switch list {
        case .access:
            let mode = try attributes(of: inode).mode
            let recorded = AccessControlList(stored) ?? .unreadable
            return recorded.showing(mode: mode).encoded
        case .inherited:
            // One that cannot be read hands nothing on.
            guard AccessControlList(stored) != nil else { throw .noAttribute }
            return stored
        }
    }

    /// Sets a list, and with what governs access the mode that shows it.
    ///
    /// - Parameter flags: as setxattr(2) has them, and what the hook adds.
    func setAccessList(
        _ list: AccessList, of id: InodeID, to value: [UInt8], flags: Int32,
        _ reply: consuming FuseReply
    ) {
        guard value.count <= AccessControlList.Limits.sizeMax else { return reply.fail(E2BIG) }
        guard let wanted = AccessControlList(value) else { return reply.fail(EINVAL) }
        let caller = reply.caller
        let result = Result { () throws(VolumeError) in
            let inode = try inode(id)
            let attributes = try attributes(of: inode)
            guard attributes.kind != .symlink,
                list == .access || attributes.kind == .directory
            else { throw .notSupported }
            var change = AttributeChange(
                extended: [ExtendedValue(name: list.name, value: wanted.encoded)])
            if list == .access {
                change.mode = attributes.mode & 0o7000 | wanted.mode
                if losesGroup(attributes, flags, caller) { change.mode? &= ~0o2000 }
                if wanted.isMinimal { change.extended[0].value = nil }
                inode.file?.expectPrivileges()
            }
            if let orphan = inode.orphan {
                try self.change(orphan, of: inode.node, change)
            } else {
                _ = try set(change, of: id)
            }
        }
        answer(reply, result)
    }

    /// Whether who sets a list may not have the file run in its group's name: the kernel knows; one that
    /// does not say leaves it to us.
    private func losesGroup(_ attributes: Attributes, _ flags: Int32, _ caller: Caller) -> Bool {
        guard attributes.mode & 0o2000 != 0 else { return false }
        if Int(flags) & HOLDFAST_XATTR_EXTENDED != 0 {
            return Int(flags) & HOLDFAST_XATTR_KILL_SGID != 0
        }
        return !caller.isRoot && !caller.isMember(of: attributes.gid)
    }

    /// Gives what is made in a directory what that hands on; what no list governs is subject to the umask.
    ///
    /// - Parameter request: its mode as the maker asked for it.
    func inherit(from directory: NodeID, by caller: Caller, into request: inout MakeRequest)
        throws(VolumeError)
    {
        guard request.kind != .symlink else { return }
        guard let stored = try list(.inherited, of: directory),
            let inherited = AccessControlList(stored)
        else {
            request.mode &= ~caller.umask
            return
        }
        let access = inherited.inherited(mode: request.mode)
        request.mode = request.mode & 0o7000 | access.mode
        if !access.isMinimal {
            request.extended.append(
                ExtendedValue(name: AccessList.access.name, value: access.encoded))
        }
        if request.kind == .directory {
            request.extended.append(ExtendedValue(name: AccessList.inherited.name, value: stored))
        }
    }

    private func list(_ list: AccessList, of node: NodeID) throws(VolumeError) -> [UInt8]? {
        do {
            return try volume.extendedAttribute(list.name, of: node)
        } catch {
            guard error == .noAttribute else { throw error }
            return nil
        }
    }
}
