internal import Base
internal import CFuse3
internal import Share
internal import Synchronization

/// One open of a directory: the listing as it was when its reading began.
final class DirectoryHandle: Sendable {
    struct Listing: Sendable {
        /// The directory itself and the one above, for `.` and `..`.
        let node: NodeID
        let parent: NodeID
        let items: [DirectoryItem]
        /// As `ChangeCount.now` was, and `NameChangeCounts.changed` of the directory: the kernel may read the rest
        /// of it after things have changed.
        let readAt: UInt64
        var namesAt: UInt64 = 0

        /// `.` and `..` come first.
        var count: Int { items.count + 2 }
    }

    let listing = Mutex<Listing?>(nil)
}

extension Filesystem {
    func opendir(_ id: InodeID, _ info: fuse_file_info, _ reply: consuming FuseReply) {
        guard id.isVirtual || table.find(id) != nil else { return refuse(reply, .stale) }
        var info = info
        info.fh = KernelHandle.retain(DirectoryHandle())
        // The kernel may keep the listing: what changes elsewhere invalidates it.
        let isKept: Int32 = id.isVirtual ? 0 : 1
        unsafe holdfast_set_open_flags(&info, isKept, isKept, 0)
        if !reply.opened(info) { _ = KernelHandle.release(info.fh) }
    }

    func releasedir(_ number: UInt64) {
        _ = KernelHandle.release(number)
    }

    /// - Parameter plus: with attributes, each entry counting as a look-up.
    func readdir(
        _ id: InodeID, _ handle: DirectoryHandle, size: Int, from offset: Int, plus: Bool,
        _ reply: consuming FuseReply
    ) {
        let result = Result { () throws(VolumeError) in
            try self.listing(of: id, handle, isStart: offset == 0)
        }
        let listing: DirectoryHandle.Listing
        switch result {
        case .success(let success): listing = success
        case .failure(let error): return refuse(reply, error)
        }
        let buffer = unsafe buffers.borrow(size)
        // The reply is sent before the buffer goes back.
        defer { unsafe buffers.giveBack(buffer) }
        let room = unsafe UnsafeMutableRawBufferPointer(rebasing: buffer[..<size])
        var index = max(offset, 0)
        var used = 0
        var bound: [InodeID] = []
        let attributes = plus ? self.attributes(in: listing, from: index, size: size) : []
        let first = index
        while index < listing.count {
            let entry: Entry
            if plus, index >= 2, let attributes = attributes[safely: index - first] {
                note(attributes, in: listing)
                let place = NamePlace(
                    directory: listing.node, name: listing.items[index - 2].name)
                entry =
                    attributes.map { bind($0, readAt: listing.readAt, at: place) }
                    ?? bare(listing, index)
            } else if plus, index >= 2 {
                break  // Past what was asked for in one go.
            } else {
                entry = bare(listing, index)
            }
            let rest = unsafe UnsafeMutableRawBufferPointer(rebasing: room[used...])
            let taken = unsafe add(listing, index, entry, plus: plus, to: rest, reply)
            if taken > rest.count {
                if entry.id != 0 { table.forget(InodeID(rawValue: entry.id)) }
                break
            }
            if entry.id != 0 { bound.append(InodeID(rawValue: entry.id)) }
            used += taken
            index += 1
        }
        let isTaken = unsafe reply.bytes(UnsafeRawBufferPointer(rebasing: room[..<used]))
        if !isTaken { for id in bound { table.forget(id) } }
    }

    private func listing(of id: InodeID, _ handle: DirectoryHandle, isStart: Bool)
        throws(VolumeError) -> DirectoryHandle.Listing
    {
        if !isStart, let listing = handle.listing.withLock({ $0 }) { return listing }
        if id.isVirtual {
            let listing = try virtualListing(of: id)
            handle.listing.withLock { $0 = listing }
            return listing
        }
        let inode = try inode(id)
        let before = changes.now
        let namesAt = names.changed(inode.node)
        let listing: DirectoryHandle.Listing
        if inode.orphan != nil {
            listing = DirectoryHandle.Listing(
                node: inode.node, parent: inode.node, items: [], readAt: before)
        } else {
            listing = DirectoryHandle.Listing(
                node: inode.node, parent: try volume.parent(of: inode.node),
                items: try volume.list(inode.node).filter {
                    $0.isShowable && !isVirtual($0, in: id)
                }, readAt: before, namesAt: namesAt)
        }
        handle.listing.withLock { $0 = listing }
        return listing
    }

    /// Attributes for as many entries as may fit into `size` bytes, from `index` on, one each.
    private func attributes(in listing: DirectoryHandle.Listing, from index: Int, size: Int)
        -> [Attributes?]
    {
        let fits = size / MountLimits.plusEntrySizeMin + 1
        let end = min(listing.count, index + fits)
        guard index < end else { return [] }
        let dots = max(0, min(2, end) - index)
        let nodes = listing.items[max(0, index - 2)..<max(0, end - 2)].map(\.node)
        // The kernel looks up by itself what the mount makes up.
        let isVirtual = InodeID(rawValue: listing.node.rawValue).isVirtual
        let isCurrent =
            changes.now == listing.readAt && names.changed(listing.node) == listing.namesAt
        if !isVirtual, !isCurrent {
            // Between two reads a name may have gone, or become another's, which the kernel knows: it must not
            // get it back.
            let items = listing.items[max(0, index - 2)..<max(0, end - 2)]
            return Array(repeating: nil, count: dots)
                + items.map { item in
                    let found = try? volume.lookup(item.name, in: listing.node)
                    return found?.node == item.node ? found : nil
                }
        }
        let known = isVirtual ? nil : try? volume.attributes(of: nodes)
        return Array(repeating: nil, count: dots)
            + (known ?? Array(repeating: nil, count: nodes.count))
    }

    private func note(_ attributes: Attributes?, in listing: DirectoryHandle.Listing) {
        guard let attributes, attributes.kind == .symlink else { return }
        symlinks?.note(attributes.node, in: listing.node)
    }

    /// An entry that shows number and kind, and counts as no look-up.
    private func bare(_ listing: DirectoryHandle.Listing, _ index: Int) -> Entry {
        var status = stat()
        switch index {
        case 0: status.st_ino = ino_t(listing.node.rawValue)
        case 1: status.st_ino = ino_t(listing.parent.rawValue)
        default: status.st_ino = ino_t(listing.items[index - 2].number.rawValue)
        }
        status.st_mode =
            index < 2 ? FileKind.directory.modeBits : listing.items[index - 2].kind.modeBits
        return Entry(id: 0, status: status, cacheSeconds: 0)
    }

    private func add(
        _ listing: DirectoryHandle.Listing, _ index: Int, _ entry: Entry, plus: Bool,
        to buffer: UnsafeMutableRawBufferPointer, _ reply: borrowing FuseReply
    ) -> Int {
        var name: [CChar] =
            switch index {
            case 0: [46]
            case 1: [46, 46]
            default: listing.items[index - 2].name.map { CChar(bitPattern: $0) }
            }
        name.append(0)
        // The array ends in the zero that C wants.
        return unsafe name.withUnsafeBufferPointer { name in
            guard let start = name.baseAddress else { return buffer.count + 1 }
            return unsafe reply.add(start, entry, next: index + 1, plus: plus, to: buffer)
        }
    }
}

extension DirectoryItem {
    /// The kernel fails a whole listing for one name that it cannot take.
    fileprivate var isShowable: Bool {
        !name.isEmpty && name.count <= MountLimits.nameSizeMax && name != [46] && name != [46, 46]
            && !name.contains(0) && !name.contains(47)
    }
}

extension Array {
    fileprivate subscript(safely index: Int) -> Element? {
        indices.contains(index) ? self[index] : nil
    }
}
