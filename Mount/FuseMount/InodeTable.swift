internal import Chunks
internal import Share
internal import Synchronization

/// A node id of the kernel: counts up within a session, and names another object never again.
///
/// The low half is a slot of the table, the high half the slot's generation. 1 is the root.
struct InodeID: RawRepresentable, Hashable, Sendable {
    let rawValue: UInt64
    static let root = InodeID(rawValue: 1)

    init(rawValue: UInt64) { self.rawValue = rawValue }

    fileprivate init(slot: Int, generation: UInt32) {
        rawValue = UInt64(generation) << 32 | UInt64(slot)
    }

    fileprivate var slot: Int { Int(rawValue & 0xffff_ffff) }
    fileprivate var generation: UInt32 { UInt32(rawValue >> 32) }
}

/// An object that lost its last name while the kernel still knows it: its attributes live here.
final class Orphan: Sendable {
    let attributes: Mutex<Attributes>
    /// What a file replaced by a save goes on showing; nil where the volume still tells.
    let content: OpenedContent?

    init(attributes: Attributes, content: OpenedContent?) {
        self.attributes = Mutex(attributes)
        self.content = content
    }
}

/// What the table knows of an inode, as of the look-up.
struct Inode: Sendable {
    let id: InodeID
    let node: NodeID
    /// There is one while the file is open or has bytes that are not published.
    let file: FileState?
    let orphan: Orphan?
    /// The mark of the content that was open last.
    let pages: UInt64
}

/// The kernel's node ids, the objects they stand for, and how often the kernel looked each one up.
///
/// Its lock is held for moments and nothing is called under it. Memory: about 72 bytes an inode.
final class InodeTable: Sendable {
    private struct Slot {
        var node: NodeID
        var lookups: UInt64
        var generation: UInt32
        var isOrphan: Bool
        /// Which versions the kernel's pages are of, if it has any: see `FileState.mark`.
        var pages: UInt64 = 0
        var file: FileState?
    }

    private struct State {
        var slots: [Slot] = []
        var free: [UInt32] = []
        var slotOfNode: [NodeID: UInt32] = [:]
        var orphans: [UInt32: Orphan] = [:]

        /// The slot that `id` means, if the kernel may still use it.
        func slot(_ id: InodeID) -> Int? {
            let slot = id.slot
            guard slot > 0, slot < slots.count, slots[slot].generation == id.generation,
                slots[slot].lookups > 0 || slots[slot].file != nil
            else { return nil }
            return slot
        }

        func id(_ slot: Int) -> InodeID {
            InodeID(slot: slot, generation: slots[slot].generation)
        }

        func inode(_ slot: Int) -> Inode {
            Inode(
                id: id(slot), node: slots[slot].node, file: slots[slot].file,
                orphan: slots[slot].isOrphan ? orphans[UInt32(slot)] : nil,
                pages: slots[slot].pages)
        }

        mutating func slot(for node: NodeID) -> Int {
            if let slot = slotOfNode[node] { return Int(slot) }
            let slot: Int
            if let old = free.popLast() {
                slot = Int(old)
                slots[slot].node = node
                slots[slot].pages = 0
            } else {
                slot = slots.count
                slots.append(
                    Slot(node: node, lookups: 0, generation: 0, isOrphan: false, file: nil))
            }
            slotOfNode[node] = UInt32(slot)
            return slot
        }

        /// - Returns: a file that nobody can reach any more; to be discarded.
        mutating func freeIfUnused(_ slot: Int) -> FileState? {
            guard slots[slot].lookups == 0, slot != InodeID.root.slot else { return nil }
            let file = slots[slot].file
            if let file {
                guard slots[slot].isOrphan, !file.isPinned else { return nil }
                slots[slot].file = nil
            }
            if slotOfNode[slots[slot].node] == UInt32(slot) { slotOfNode[slots[slot].node] = nil }
            if slots[slot].isOrphan { orphans[UInt32(slot)] = nil }
            slots[slot].isOrphan = false
            // A slot whose generations are used up is never handed out again.
            guard slots[slot].generation < UInt32.max else { return file }
            slots[slot].generation += 1
            free.append(UInt32(slot))
            return file
        }
    }

    private let state: Mutex<State>

    init() {
        var state = State()
        let unused = NodeID(rawValue: 0)
        state.slots = [
            Slot(node: unused, lookups: 0, generation: 0, isOrphan: false, file: nil),
            Slot(node: .root, lookups: 1, generation: 0, isOrphan: false, file: nil),
        ]
        state.slotOfNode[.root] = 1
        self.state = Mutex(state)
    }

    /// Inodes in use.
    var count: Int { state.withLock { $0.slots.count - 1 - $0.free.count } }

    func find(_ id: InodeID) -> Inode? {
        state.withLock { state in state.slot(id).map { state.inode($0) } }
    }

    func id(of node: NodeID) -> InodeID? {
        state.withLock { state in state.slotOfNode[node].map { state.id(Int($0)) } }
    }

    func file(of node: NodeID) -> FileState? {
        state.withLock { state in state.slotOfNode[node].flatMap { state.slots[Int($0)].file } }
    }

    /// Counts one look-up of `node`, to be undone by `forget`.
    func bind(_ node: NodeID) -> Inode {
        state.withLock { state in
            let slot = state.slot(for: node)
            state.slots[slot].lookups += 1
            return state.inode(slot)
        }
    }

    /// Counts one more look-up of an inode that the kernel knows.
    func bindAgain(_ id: InodeID) {
        state.withLock { state in
            guard let slot = state.slot(id) else { return }
            state.slots[slot].lookups += 1
        }
    }

    func forget(_ id: InodeID, count: UInt64 = 1) {
        let unreachable: FileState? = state.withLock { state in
            guard let slot = state.slot(id), slot != InodeID.root.slot else { return nil }
            state.slots[slot].lookups -= min(count, state.slots[slot].lookups)
            return state.freeIfUnused(slot)
        }
        unreachable?.discard()
    }

    /// The inode's file state, made if there is none, and kept until `unpin`.
    func pin(_ id: InodeID, make: (NodeID) -> FileState) -> FileState? {
        state.withLock { state in
            guard let slot = state.slot(id) else { return nil }
            let file = state.slots[slot].file ?? make(state.slots[slot].node)
            state.slots[slot].file = file
            file.pin()
            return file
        }
    }

    /// As `pin`, for a node that the kernel need not know.
    func pin(_ node: NodeID, make: (InodeID) -> FileState) -> FileState {
        state.withLock { state in
            let slot = state.slot(for: node)
            let file = state.slots[slot].file ?? make(state.id(slot))
            state.slots[slot].file = file
            file.pin()
            return file
        }
    }

    func unpin(_ file: FileState) {
        file.unpin()
        dropIfIdle(file)
    }

    /// Forgets the state of a file that nobody has open and that is published, or has no name.
    func dropIfIdle(_ file: FileState) {
        guard !file.isPinned else { return }
        let unreachable: FileState? = state.withLock { state in
            let slot = file.id.slot
            // `pin` works under this lock too.
            guard slot < state.slots.count, state.slots[slot].file === file else { return nil }
            if file.isIdle {
                state.slots[slot].pages = file.mark
                state.slots[slot].file = nil
            }
            return state.freeIfUnused(slot)
        }
        unreachable?.discard()
    }

    /// From now on `id` stands for `node`: a conflict copy that was edited, a saved file.
    func rebind(_ id: InodeID, to node: NodeID) {
        state.withLock { state in
            guard let slot = state.slot(id), state.slots[slot].node != node else { return }
            let old = state.slots[slot].node
            if state.slotOfNode[old] == UInt32(slot) { state.slotOfNode[old] = nil }
            state.slots[slot].node = node
            state.slotOfNode[node] = UInt32(slot)
        }
    }

    /// The object has no name any more; its inode lives on without the volume.
    func orphan(_ id: InodeID, _ orphan: Orphan) {
        state.withLock { state in
            guard let slot = state.slot(id), slot != InodeID.root.slot else { return }
            let node = state.slots[slot].node
            if state.slotOfNode[node] == UInt32(slot) { state.slotOfNode[node] = nil }
            state.slots[slot].isOrphan = true
            state.orphans[UInt32(slot)] = orphan
        }
    }

    /// Every file that is open or not published.
    func files() -> [FileState] {
        state.withLock { state in state.slots.compactMap(\.file) }
    }
}
