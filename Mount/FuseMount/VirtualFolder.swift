internal import FileTree
internal import Share
internal import Synchronization

extension InodeID {
    /// Two high bits: ids of the share have none, those of a session the first only.
    fileprivate static let virtualBits: UInt64 = 3 << 62

    /// Whether it stands for what the mount makes up.
    var isVirtual: Bool { rawValue >> 62 == 3 }

    /// The virtual folder itself.
    static let virtualFolder = InodeID(rawValue: virtualBits)
}

/// The kernel's node ids of what the mount makes up itself: the folder `.holdfast` in the root, which
/// is reached by name and never listed, and all below.
///
/// An id follows from parent, name and identity, so that a listing tells the ids that look-ups will
/// give. Its lock is held for moments and nothing is called under it.
final class VirtualFolder: Sendable {
    /// In the root of the mount; the same rule keeps it from entries of the share.
    static let name = reservedRootName

    struct Item: Sendable {
        let id: InodeID
        let parent: InodeID
        let name: [UInt8]
        let node: VirtualNode
    }

    private struct Slot {
        var item: Item
        var lookups: UInt64
    }

    private let slots: Mutex<[InodeID: Slot]>

    init(_ root: any VirtualDirectory) {
        let item = Item(
            id: .virtualFolder, parent: .root, name: Self.name, node: VirtualNode(.directory(root)))
        // Never forgotten: look-ups of it count, and this one is nobody's.
        slots = Mutex([.virtualFolder: Slot(item: item, lookups: 1)])
    }

    /// The id that a look-up will most likely give.
    static func id(of name: [UInt8], identity: UInt64, in parent: InodeID) -> InodeID {
        // FNV-1a; two that collide get neighbouring ids when they are looked up.
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        func mix(_ byte: UInt8) { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
        for number in [parent.rawValue, identity] {
            for shift in 0..<8 { mix(UInt8(truncatingIfNeeded: number >> UInt64(8 * shift))) }
        }
        for byte in name { mix(byte) }
        return InodeID(rawValue: hash | InodeID.virtualBits)
    }

    /// What the kernel knows under an id.
    func find(_ id: InodeID) throws(VolumeError) -> Item {
        guard let item = slots.withLock({ $0[id]?.item }) else { throw .stale }
        return item
    }

    func directory(_ id: InodeID) throws(VolumeError) -> any VirtualDirectory {
        guard case .directory(let directory) = try find(id).node.body else { throw .notDirectory }
        return directory
    }

    /// Looks a name up and counts that, to be undone by `forget`.
    ///
    /// - Returns: nil for the root of the mount, which is above.
    func bind(_ name: [UInt8], in parent: InodeID) throws(VolumeError) -> Item? {
        if parent == .root { return try bindAgain(.virtualFolder) }
        switch name {
        case [46]: return try bindAgain(parent)
        case [46, 46]:
            let above = try find(parent).parent
            return above == .root ? nil : try bindAgain(above)
        default: break
        }
        let node = try directory(parent).node(named: name)
        return slots.withLock { slots in
            var id = Self.id(of: name, identity: node.identity, in: parent)
            while let other = slots[id]?.item,
                other.parent != parent || other.name != name
                    || other.node.identity != node.identity
            {
                id = InodeID(rawValue: (id.rawValue &+ 1) | InodeID.virtualBits)
            }
            let item = Item(id: id, parent: parent, name: name, node: node)
            slots[id] = Slot(item: item, lookups: (slots[id]?.lookups ?? 0) + 1)
            return item
        }
    }

    private func bindAgain(_ id: InodeID) throws(VolumeError) -> Item {
        let item = slots.withLock { slots in
            slots[id]?.lookups += 1
            return slots[id]?.item
        }
        guard let item else { throw .stale }
        return item
    }

    func forget(_ id: InodeID, count: UInt64 = 1) {
        slots.withLock { slots in
            guard let lookups = slots[id]?.lookups else { return }
            if lookups > count || id == .virtualFolder {
                slots[id]?.lookups = max(1, lookups - min(count, lookups))
            } else {
                slots[id] = nil
            }
        }
    }

    /// Ids in use.
    var count: Int { slots.withLock(\.count) }
}
