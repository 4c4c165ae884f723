internal import Base
internal import Chunks
internal import Share
internal import Synchronization

/// A node id of the kernel: the number that the object shows, so that handles of files
/// (`name_to_handle_at`, NFS) outlive the kernel's cache and a restart. 1 is the root.
struct InodeID: RawRepresentable, Hashable, Sendable {
    let rawValue: UInt64
    static let root = InodeID(rawValue: 1)

    init(rawValue: UInt64) { self.rawValue = rawValue }

    /// Where the number is taken by another inode that the kernel still has: an id of this session.
    fileprivate init(session: UInt64) { rawValue = 1 << 63 | session }
}

/// An object that lost its last name while the kernel still knows it: its attributes live here.
final class Orphan: Sendable {
    let attributes: Mutex<Attributes>
    /// What a file replaced by a save goes on showing; nil where the volume still tells.
    let content: OpenedContent?
    /// By name; nil until someone asks, while the volume still tells.
    let extended: Mutex<[[UInt8]: [UInt8]]?>

    init(
        attributes: Attributes, content: OpenedContent?, extended: [[UInt8]: [UInt8]]? = nil
    ) {
        self.attributes = Mutex(attributes)
        self.content = content
        self.extended = Mutex(extended)
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
    /// Of a file that is not open: its size in bytes, as the kernel was told.
    let size: UInt64
}

extension NamePlace {
    /// A hash (FNV-1a).
    fileprivate var mark: UInt32 {
        let start = name.reduce(0x811c_9dc5 as UInt32) { ($0 ^ UInt32($1)) &* 0x0100_0193 }
        return stride(from: 0, to: 64, by: 8).reduce(start) { hash, shift in
            (hash ^ UInt32(truncatingIfNeeded: directory.rawValue >> UInt64(shift) & 0xff))
                &* 0x0100_0193
        }
    }
}

extension Timestamp {
    fileprivate var mark: UInt32 {
        nanoseconds ^ UInt32(truncatingIfNeeded: seconds) &* 0x9e37_79b1
    }
}

/// The kernel's node ids, the objects they stand for, and how often the kernel looked each one up.
///
/// Its lock is held for moments and nothing is called under it. Memory: about 90 bytes an inode.
final class InodeTable: Sendable {
    private struct Slot {
        var id: InodeID
        var node: NodeID
        var lookups: UInt64 = 0
        var isOrphan = false
        /// Which versions the kernel's pages are of, if it has any: see `FileState.mark`.
        var pages: UInt64 = 0
        /// The size that the kernel was told when it met the inode, or since.
        var size: UInt64 = 0
        /// The same of the time of modification, and by which name it met the inode last: marks.
        var modified: UInt32 = 0
        var place: UInt32 = 0
        var file: FileState?
    }

    private struct State {
        var slots: [Slot] = []
        var free: [UInt32] = []
        var slotOfID: [InodeID: UInt32] = [:]
        /// Of the nodes whose id is not their own number.
        var slotOfNode: [NodeID: UInt32] = [:]
        var orphans: [UInt32: Orphan] = [:]
        var sessionIDs: UInt64 = 0

        /// The slot that `id` means, if the kernel may still use it.
        func slot(_ id: InodeID) -> Int? { slotOfID[id].map { Int($0) } }

        /// The slot that stands for a node with a name.
        func slot(of node: NodeID) -> Int? {
            if let slot = slotOfNode[node] { return Int(slot) }
            guard let slot = slot(InodeID(rawValue: node.rawValue)), slots[slot].node == node,
                !slots[slot].isOrphan
            else { return nil }
            return slot
        }

        func inode(_ slot: Int) -> Inode {
            Inode(
                id: slots[slot].id, node: slots[slot].node, file: slots[slot].file,
                orphan: slots[slot].isOrphan ? orphans[UInt32(slot)] : nil,
                pages: slots[slot].pages, size: slots[slot].size)
        }

        mutating func slot(for node: NodeID, showing number: NodeID) -> Int {
            if let slot = slot(of: node) { return slot }
            var id = InodeID(rawValue: number.rawValue)
            if slotOfID[id] != nil {
                sessionIDs += 1
                id = InodeID(session: sessionIDs)
            }
            let slot = add(Slot(id: id, node: node))
            stand(slot, for: node)
            return slot
        }

        mutating func add(_ new: Slot) -> Int {
            let slot: Int
            if let old = free.popLast() {
                slot = Int(old)
                slots[slot] = new
            } else {
                slot = slots.count
                slots.append(new)
            }
            slotOfID[new.id] = UInt32(slot)
            return slot
        }

        mutating func stand(_ slot: Int, for node: NodeID) {
            slots[slot].node = node
            if slots[slot].id.rawValue != node.rawValue { slotOfNode[node] = UInt32(slot) }
        }

        mutating func forgetNode(of slot: Int) {
            let node = slots[slot].node
            if slotOfNode[node] == UInt32(slot) { slotOfNode[node] = nil }
        }

        /// - Returns: a file that nobody can reach any more; to be discarded.
        mutating func freeIfUnused(_ slot: Int) -> FileState? {
            guard slots[slot].lookups == 0, slots[slot].id != .root else { return nil }
            let file = slots[slot].file
            if let file {
                guard slots[slot].isOrphan, !file.isPinned else { return nil }
                slots[slot].file = nil
            }
            forgetNode(of: slot)
            if slots[slot].isOrphan { orphans[UInt32(slot)] = nil }
            slotOfID[slots[slot].id] = nil
            free.append(UInt32(slot))
            return file
        }
    }

    /// Held while a name, or an inode, comes to mean another object in the volume and then here, and while
    /// both are asked: so that nobody finds the one changed without the other. Calls of the volume are made
    /// under it; it is taken before a file's `telling`, and nothing is waited for meanwhile.
    let meaning = Mutex<Void>(())
    private let state: Mutex<State>

    init() {
        var state = State()
        let root = state.slot(for: .root, showing: .root)
        state.slots[root].lookups = 1
        self.state = Mutex(state)
    }

    /// Inodes in use.
    var count: Int { state.withLock { $0.slots.count - $0.free.count } }

    func find(_ id: InodeID) -> Inode? {
        state.withLock { state in state.slot(id).map { state.inode($0) } }
    }

    func id(of node: NodeID) -> InodeID? {
        state.withLock { state in state.slot(of: node).map { state.slots[$0].id } }
    }

    func file(of node: NodeID) -> FileState? {
        state.withLock { state in state.slot(of: node).flatMap { state.slots[$0].file } }
    }

    /// Counts one look-up of `node`, to be undone by `forget`.
    ///
    /// - Parameter number: as `Attributes` have it.
    func bind(_ node: NodeID, showing number: NodeID) -> Inode {
        state.withLock { state in
            let slot = state.slot(for: node, showing: number)
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

    /// The kernel is told this size of a file.
    func noteSize(_ id: InodeID, _ size: UInt64) {
        state.withLock { state in
            if let slot = state.slot(id) { state.slots[slot].size = size }
        }
    }

    /// The kernel has, or is told, this time of modification of a file.
    func noteTime(_ id: InodeID, _ modified: Timestamp) {
        let mark = modified.mark
        state.withLock { state in
            if let slot = state.slot(id) { state.slots[slot].modified = mark }
        }
    }

    /// The kernel has, or finds, an inode under a name.
    func notePlace(_ id: InodeID, _ place: NamePlace) {
        let mark = place.mark
        state.withLock { state in
            if let slot = state.slot(id) { state.slots[slot].place = mark }
        }
    }

    /// The kernel has looked an inode up. What it is told of size and time it takes only when it meets it.
    ///
    /// - Parameter place: nil if it was not by a name.
    func noteLookup(_ id: InodeID, _ shown: Attributes, at place: NamePlace?) {
        let mark = place?.mark
        state.withLock { state in
            guard let slot = state.slot(id) else { return }
            if let mark { state.slots[slot].place = mark }
            guard state.slots[slot].lookups == 1 else { return }
            state.slots[slot].size = shown.size
            state.slots[slot].modified = shown.modified.mark
        }
    }

    /// Whether the time is the one that the kernel was told last, as far as is known.
    func hasTime(_ id: InodeID, _ modified: Timestamp) -> Bool {
        let mark = modified.mark
        return state.withLock { state in
            state.slot(id).map { state.slots[$0].modified == mark } ?? false
        }
    }

    /// Whether the kernel knows a node, and by this name the last it heard of it.
    ///
    /// - Parameter place: nil for a node with several names.
    func hasMet(_ node: NodeID, at place: NamePlace?) -> Bool {
        let mark = place?.mark
        return state.withLock { state in
            guard let slot = state.slot(of: node) else { return false }
            return mark.map { state.slots[slot].place == $0 } ?? true
        }
    }

    func forget(_ id: InodeID, count: UInt64 = 1) {
        let unreachable: FileState? = state.withLock { state in
            guard let slot = state.slot(id), id != .root else { return nil }
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
    func pin(_ node: NodeID, showing number: NodeID, make: (InodeID) -> FileState) -> FileState {
        state.withLock { state in
            let slot = state.slot(for: node, showing: number)
            let file = state.slots[slot].file ?? make(state.slots[slot].id)
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
            // `pin` works under this lock too.
            guard let slot = state.slot(file.id), state.slots[slot].file === file else {
                return nil
            }
            if file.isIdle {
                state.slots[slot].pages = file.mark
                state.slots[slot].size = file.kernelSize
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
            state.forgetNode(of: slot)
            state.stand(slot, for: node)
        }
    }

    /// As `rebind`, unless the kernel knows `node` already: one of its inodes would hear of nothing more.
    func unite(_ id: InodeID, with node: NodeID) -> Bool {
        state.withLock { state in
            guard let slot = state.slot(id), state.slot(of: node) == nil else { return false }
            state.forgetNode(of: slot)
            state.stand(slot, for: node)
            return true
        }
    }

    /// The object has no name any more; its inode lives on without the volume.
    func orphan(_ id: InodeID, _ orphan: Orphan) {
        state.withLock { state in
            guard let slot = state.slot(id), id != .root else { return }
            state.forgetNode(of: slot)
            state.slots[slot].isOrphan = true
            state.orphans[UInt32(slot)] = orphan
        }
    }

    /// An inode that stands for nothing that shows, looked up once.
    func bindOrphan(_ orphan: Orphan, of node: NodeID) -> InodeID {
        state.withLock { state in
            state.sessionIDs += 1
            var new = Slot(id: InodeID(session: state.sessionIDs), node: node)
            new.lookups = 1
            new.isOrphan = true
            let slot = state.add(new)
            state.orphans[UInt32(slot)] = orphan
            return new.id
        }
    }

    /// Every file that is open or not published.
    func files() -> [FileState] {
        state.withLock { state in state.slots.compactMap(\.file) }
    }
}
