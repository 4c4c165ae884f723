import Base
import Chunks
import Glibc
import Share
import Synchronization

@testable import FuseMount

private func threadName() -> String {
    let line = (try? readFile("/proc/thread-self/comm")) ?? []
    return String(decoding: line.dropLast(), as: UTF8.self)
}

/// A share in dictionaries: one lock, no peers, no disk. What a peer would do, tests call.
final class FakeVolume: Volume {
    struct Object {
        var attributes: Attributes
        var children: [[UInt8]: NodeID] = [:]
        var parent = NodeID.root
        var target: [UInt8] = []
        var xattrs: [[UInt8]: [UInt8]] = [:]
        var content = Content.empty
        var versions: [UInt64] = []
        /// An edit of it makes a file of its own.
        var isCopy = false
        /// When its bytes were written, where the attributes say another time.
        var written: Timestamp?
    }

    struct State {
        var objects: [NodeID: Object] = [:]
        var lastNode: UInt64 = 1
        var lastVersion: UInt64 = 100
        var staged: [NodeID: StagedFile] = [:]
        var saves: [Save] = []
        var syncs = 0
        var demands = 0
        var failure: VolumeError?
        var freeBytes: UInt64 = 1 << 40
        var isReachable = true
        var demandMilliseconds: UInt32 = 20
        /// Nobody ever answers.
        var isSilent = false
        /// Changes of extended attributes wait at it, with the thread that asks.
        var gate: Latch?
        /// A file made where another was removed goes on as that one.
        var makesAnew = false
        /// Done once, by the thread that replays changes when it has been told attributes, and by who has renamed
        /// something: what others do in between.
        var afterReplayedAttributes: (@Sendable () -> Void)?
        var afterRename: (@Sendable () -> Void)?
        /// Done once, when somebody is about to be told a content.
        var beforeContent: (@Sendable () -> Void)?
        /// Done whenever somebody has looked up a name: what others do to it.
        var afterLookup: (@Sendable ([UInt8]) -> Void)?
        /// So many changes find their object gone, and so many look-ups their directory: at once, and after
        /// such a change.
        var stale = 0
        var staleLookups = 0
        var laterStaleLookups = 0
        weak var observer: (any VolumeObserver)?
    }

    let state: Mutex<State>
    let chunks: FakeChunks

    init(chunks: FakeChunks) {
        self.chunks = chunks
        var state = State()
        state.objects[.root] = Object(
            attributes: Attributes(
                node: .root, kind: .directory, mode: 0o755, links: 2, uid: geteuid(),
                gid: getegid(), device: 0,
                size: 0, modified: .now, changed: .now, accessed: .now))
        self.state = Mutex(state)
    }

    // MARK: What tests look at and do

    var saves: [Save] { state.withLock { $0.saves } }
    var staged: [StagedFile] {
        state.withLock { $0.staged.values.sorted { $0.node.rawValue < $1.node.rawValue } }
    }

    func node(_ path: String) -> NodeID? {
        state.withLock { $0.node(path) }
    }

    func content(_ path: String) -> Content? {
        state.withLock { state in state.node(path).flatMap { state.objects[$0]?.content } }
    }

    /// The published bytes.
    func bytes(_ path: String) throws -> [UInt8]? {
        guard let content = content(path) else { return nil }
        return try contentBytes(content, chunks)
    }

    func notify(_ changes: [ViewChange]) {
        let observer = state.withLock { $0.observer }
        observer?.volumeChanged(changes)
    }

    /// A peer's version of a file.
    /// - Parameter isTold: whether the mount hears of it.
    func writeRemotely(_ path: String, _ content: Content, isTold: Bool = true) {
        let node = state.withLock { state -> NodeID? in
            guard let node = state.node(path) else { return nil }
            state.lastVersion += 1
            state.objects[node]?.content = content
            state.objects[node]?.versions = [state.lastVersion]
            state.objects[node]?.attributes.size = content.size
            state.objects[node]?.attributes.modified = .now
            return node
        }
        if isTold, let node { notify([.content(node), .derived(node)]) }
    }

    func makeRemotely(_ name: String, _ content: Content = .empty) throws(VolumeError) {
        let request = MakeRequest(kind: .file, mode: 0o644, uid: 0, gid: 0)
        let made = try make(Array(name.utf8), in: .root, request)
        state.withLock { state in
            state.lastVersion += 1
            state.objects[made.node]?.content = content
            state.objects[made.node]?.attributes.size = content.size
            state.objects[made.node]?.versions = [state.lastVersion]
        }
        notify([
            .entry(directory: .root, name: Array(name.utf8), before: nil), .derived(.root),
            .content(made.node),
        ])
    }

    func removeRemotely(_ name: String) throws(VolumeError) {
        let shown = state.withLock { state in state.shown(Array(name.utf8), in: .root) }
        try unlink(Array(name.utf8), in: .root)
        notify([
            .entry(directory: .root, name: Array(name.utf8), before: shown), .derived(.root),
        ])
    }

    func makeDirectoryRemotely(_ path: String) throws(VolumeError) {
        let (directory, name) = split(path)
        let request = MakeRequest(kind: .directory, mode: 0o755, uid: geteuid(), gid: getegid())
        _ = try make(name, in: directory, request)
        notify([.entry(directory: directory, name: name, before: nil), .derived(directory)])
    }

    func linkRemotely(_ path: String, target: String) throws(VolumeError) {
        let (directory, name) = split(path)
        let request = MakeRequest(
            kind: .symlink, mode: 0o777, uid: 0, gid: 0, target: Array(target.utf8))
        _ = try make(name, in: directory, request)
        notify([.entry(directory: directory, name: name, before: nil), .derived(directory)])
    }

    func removeDirectoryRemotely(_ path: String) throws(VolumeError) {
        let (directory, name) = split(path)
        let shown = state.withLock { state in state.shown(name, in: directory) }
        try removeDirectory(name, in: directory)
        notify([.entry(directory: directory, name: name, before: shown), .derived(directory)])
    }

    func renameRemotely(_ path: String, _ newPath: String, _ mode: RenameMode = .replace)
        throws(VolumeError)
    {
        let (directory, name) = split(path)
        let (newDirectory, newName) = split(newPath)
        let (before, newBefore) = state.withLock { state in
            (state.shown(name, in: directory), state.shown(newName, in: newDirectory))
        }
        _ = try rename(name, in: directory, to: newName, in: newDirectory, mode)
        notify([
            .entry(directory: newDirectory, name: newName, before: newBefore),
            .entry(directory: directory, name: name, before: before), .derived(directory),
            .derived(newDirectory),
        ])
    }

    func setModeRemotely(_ path: String, _ mode: UInt32) throws(VolumeError) {
        guard let node = node(path) else { throw .notFound }
        _ = try setAttributes(of: node, to: AttributeChange(mode: mode))
        notify([.attributes(node)])
    }

    private func split(_ path: String) -> (directory: NodeID, name: [UInt8]) {
        let names = path.split(separator: "/")
        let above = names.dropLast().joined(separator: "/")
        return (node(above) ?? .root, Array((names.last ?? "").utf8))
    }

    func makeCopy(_ path: String) {
        state.withLock { state in
            if let node = state.node(path) { state.objects[node]?.isCopy = true }
        }
    }

    // MARK: Names

    private func with<Result>(
        _ body: (inout State) throws(VolumeError) -> Result
    ) throws(VolumeError) -> Result {
        try state.withLock { (state) throws(VolumeError) in
            if let failure = state.failure { throw failure }
            nonisolated(unsafe) let result = try body(&state)
            return result
        }
    }

    func lookup(_ name: [UInt8], in directory: NodeID) throws(VolumeError) -> Attributes {
        defer { state.withLock { $0.afterLookup }?(name) }
        return try with { (state) throws(VolumeError) in
            if state.staleLookups > 0 {
                state.staleLookups -= 1
                throw .stale
            }
            let node = try state.entry(name, in: directory)
            return try state.object(node).attributes
        }
    }

    func attributes(of node: NodeID) throws(VolumeError) -> Attributes {
        let attributes = try with { (state) throws(VolumeError) in
            try state.object(node).attributes
        }
        if state.withLock({ $0.afterReplayedAttributes != nil }), threadName() == "invalidator" {
            state.withLock { state in
                defer { state.afterReplayedAttributes = nil }
                return state.afterReplayedAttributes
            }?()
        }
        return attributes
    }

    func node(showing number: NodeID) throws(VolumeError) -> NodeID {
        try with { (state) throws(VolumeError) in
            let found = state.objects.first {
                $0.value.attributes.number == number && $0.value.attributes.links > 0
            }
            guard let found else { throw .stale }
            return found.key
        }
    }

    func attributes(of nodes: [NodeID]) throws(VolumeError) -> [Attributes?] {
        try with { (state) throws(VolumeError) in nodes.map { state.objects[$0]?.attributes } }
    }

    func setAttributes(of node: NodeID, to change: AttributeChange) throws(VolumeError)
        -> Attributes
    {
        try with { (state) throws(VolumeError) in
            try state.requireCurrent()
            var object = try state.object(node)
            if let mode = change.mode { object.attributes.mode = mode }
            if let uid = change.uid { object.attributes.uid = uid }
            if let gid = change.gid { object.attributes.gid = gid }
            if let time = change.modified { object.attributes.modified = time }
            if let time = change.accessed { object.attributes.accessed = time }
            for item in change.extended { object.xattrs[item.name] = item.value }
            object.attributes.changed = .now
            state.objects[node] = object
            return object.attributes
        }
    }

    func parent(of directory: NodeID) throws(VolumeError) -> NodeID {
        try with { (state) throws(VolumeError) in try state.object(directory).parent }
    }

    func path(of node: NodeID) throws(VolumeError) -> NodePath? {
        try with { (state) throws(VolumeError) in
            var names: [[UInt8]] = []
            var holder: NodeID?
            var place = node
            while place != .root {
                let found = state.objects.lazy.compactMap { directory, object in
                    object.children.first { $0.value == place }.map { (directory, $0.key) }
                }.first
                guard let (directory, name) = found else { return nil }
                names.append(name)
                holder = holder ?? directory
                place = directory
            }
            return NodePath(directory: holder ?? .root, names: names.reversed())
        }
    }

    func list(_ directory: NodeID) throws(VolumeError) -> [DirectoryItem] {
        try with { (state) throws(VolumeError) in
            let object = try state.object(directory)
            return object.children.sorted { $0.key.lexicographicallyPrecedes($1.key) }.compactMap {
                (name, node) in
                guard let child = state.objects[node] else { return nil }
                return DirectoryItem(
                    name: name, node: node, kind: child.attributes.kind,
                    number: child.attributes.number)
            }
        }
    }

    func makeAnew(
        _ name: [UInt8], in directory: NodeID, _ request: MakeRequest, succeeding former: NodeID
    ) throws(VolumeError) -> Succession? {
        try with { (state) throws(VolumeError) in
            guard state.makesAnew, var object = state.objects[former] else { return nil }
            object.written = object.attributes.modified
            object.attributes.modified = .now
            object.attributes.links = 1
            state.objects[former] = object
            state.add(name, former, to: directory)
            return Succession(
                attributes: object.attributes, versions: object.versions, backup: nil)
        }
    }

    func make(_ name: [UInt8], in directory: NodeID, _ request: MakeRequest) throws(VolumeError)
        -> Attributes
    {
        try with { (state) throws(VolumeError) in
            try state.requireCurrent()
            try state.requireFree(name, in: directory)
            state.lastNode += 1
            let node = NodeID(rawValue: state.lastNode)
            let attributes = Attributes(
                node: node, kind: request.kind, mode: request.mode,
                links: request.kind == .directory ? 2 : 1, uid: request.uid, gid: request.gid,
                device: request.device, size: UInt64(request.target.count), modified: .now,
                changed: .now, accessed: .now)
            var object = Object(attributes: attributes)
            object.target = request.target
            for item in request.extended { object.xattrs[item.name] = item.value }
            object.parent = directory
            state.objects[node] = object
            state.add(name, node, to: directory)
            return attributes
        }
    }

    func link(_ node: NodeID, as name: [UInt8], in directory: NodeID) throws(VolumeError)
        -> Attributes
    {
        try with { (state) throws(VolumeError) in
            try state.requireFree(name, in: directory)
            guard try state.object(node).attributes.links > 0 else { throw .notFound }
            state.objects[node]?.attributes.links += 1
            state.objects[node]?.attributes.changed = .now
            state.add(name, node, to: directory)
            return try state.object(node).attributes
        }
    }

    @discardableResult
    func unlink(_ name: [UInt8], in directory: NodeID) throws(VolumeError) -> NodeID {
        try with { (state) throws(VolumeError) in
            let node = try state.entry(name, in: directory)
            guard try state.object(node).attributes.kind != .directory else {
                throw .isDirectory
            }
            state.remove(name, from: directory)
            return node
        }
    }

    @discardableResult
    func removeDirectory(_ name: [UInt8], in directory: NodeID) throws(VolumeError) -> NodeID {
        try with { (state) throws(VolumeError) in
            try state.requireCurrent()
            let node = try state.entry(name, in: directory)
            let object = try state.object(node)
            guard object.attributes.kind == .directory else { throw .notDirectory }
            guard object.children.isEmpty else { throw .notEmpty }
            state.remove(name, from: directory)
            return node
        }
    }

    func rename(
        _ name: [UInt8], in directory: NodeID, to newName: [UInt8], in newDirectory: NodeID,
        _ mode: RenameMode, succeeding former: NodeID?
    ) throws(VolumeError) -> RenameResult {
        defer {
            state.withLock { state in
                defer { state.afterRename = nil }
                return state.afterRename
            }?()
        }
        return try with { (state) throws(VolumeError) in
            try state.requireCurrent()
            let node = try state.entry(name, in: directory)
            let source = try state.object(node)
            let target = state.objects[newDirectory]?.children[newName]
            if source.attributes.kind == .directory {
                var place = newDirectory
                while place != .root {
                    if place == node { throw .invalidMove }
                    place = try state.object(place).parent
                }
            }
            guard let target else {
                guard mode != .exchange else { throw .notFound }
                state.remove(name, from: directory, keeping: true)
                state.add(newName, node, to: newDirectory)
                return .moved(node, replaced: nil)
            }
            if mode == .noReplace { throw .exists }
            if target == node { return .unchanged }
            let victim = try state.object(target)
            if mode == .exchange {
                state.remove(name, from: directory, keeping: true)
                state.remove(newName, from: newDirectory, keeping: true)
                state.add(newName, node, to: newDirectory)
                state.add(name, target, to: directory)
                return .exchanged(node, target)
            }
            let isDirectory = source.attributes.kind == .directory
            if isDirectory, victim.attributes.kind != .directory { throw .notDirectory }
            if !isDirectory, victim.attributes.kind == .directory { throw .isDirectory }
            guard victim.children.isEmpty else { throw .notEmpty }
            if source.attributes.kind == .file, victim.attributes.kind == .file,
                source.attributes.links == 1, victim.attributes.links == 1
            {
                var saved = source
                saved.attributes.node = target
                state.lastVersion += 1
                saved.versions = [state.lastVersion]
                state.remove(name, from: directory)
                state.objects[node]?.attributes.links = 0
                state.objects[node]?.attributes.number = victim.attributes.number
                state.objects[target] = saved
                return .saved(
                    saved: target, temporary: node,
                    replacedContent: OpenedContent(
                        versions: victim.versions, content: victim.content,
                        modified: victim.attributes.modified))
            }
            state.remove(newName, from: newDirectory)
            state.remove(name, from: directory, keeping: true)
            state.add(newName, node, to: newDirectory)
            return .moved(node, replaced: target)
        }
    }

    func readLink(_ node: NodeID) throws(VolumeError) -> [UInt8] {
        try with { (state) throws(VolumeError) in try state.object(node).target }
    }

    // MARK: Extended attributes

    func extendedAttribute(_ name: [UInt8], of node: NodeID) throws(VolumeError) -> [UInt8] {
        try with { (state) throws(VolumeError) in
            guard let value = try state.object(node).xattrs[name] else { throw .noAttribute }
            return value
        }
    }

    func extendedAttributeNames(of node: NodeID) throws(VolumeError) -> [[UInt8]] {
        try with { (state) throws(VolumeError) in
            try state.object(node).xattrs.keys.sorted { $0.lexicographicallyPrecedes($1) }
        }
    }

    func setExtendedAttribute(
        _ name: [UInt8], of node: NodeID, to value: [UInt8], mustExist: Bool, mustBeNew: Bool
    ) throws(VolumeError) {
        state.withLock { $0.gate }?.wait()
        try with { (state) throws(VolumeError) in
            let old = try state.object(node).xattrs[name]
            if mustExist, old == nil { throw .noAttribute }
            if mustBeNew, old != nil { throw .attributeExists }
            state.objects[node]?.xattrs[name] = value
        }
    }

    func removeExtendedAttribute(_ name: [UInt8], of node: NodeID) throws(VolumeError) {
        try with { (state) throws(VolumeError) in
            guard try state.object(node).xattrs[name] != nil else { throw .noAttribute }
            state.objects[node]?.xattrs[name] = nil
        }
    }

    // MARK: Contents

    func openContent(of node: NodeID) throws(VolumeError) -> OpenedContent {
        state.withLock { state in
            defer { state.beforeContent = nil }
            return state.beforeContent
        }?()
        return try with { (state) throws(VolumeError) in
            let object = try state.object(node)
            return OpenedContent(
                versions: object.versions, content: object.content,
                modified: object.written ?? object.attributes.modified)
        }
    }

    func publish(_ save: Save) throws(VolumeError) -> Published {
        chunks.requireSynced(save.content)
        return try with { (state) throws(VolumeError) in
            var object = try state.object(save.node)
            state.saves.append(save)
            if save.settlesStaging { state.staged[save.node] = nil }
            state.lastVersion += 1
            var node = save.node
            if object.isCopy {
                state.lastNode += 1
                node = NodeID(rawValue: state.lastNode)
                object.isCopy = false
                object.attributes.node = node
                object.attributes.number = node
                for (directory, holder) in state.objects {
                    for (name, child) in holder.children where child == save.node {
                        state.objects[directory]?.children[name] = node
                    }
                }
                state.objects[save.node] = nil
            }
            object.content = save.content
            object.versions = [state.lastVersion]
            object.attributes.size = save.content.size
            object.attributes.modified = save.modified
            object.attributes.changed = .now
            state.objects[node] = object
            return Published(node: node, version: state.lastVersion)
        }
    }

    func recordStaged(_ staged: StagedFile) throws(VolumeError) {
        try with { (state) throws(VolumeError) in state.staged[staged.node] = staged }
    }

    func forgetStaged(_ node: NodeID) throws(VolumeError) {
        try with { (state) throws(VolumeError) in state.staged[node] = nil }
    }

    func stagedFiles() throws(VolumeError) -> [StagedFile] { staged }

    func demand(
        _ missing: [ChunkReference], completion: @escaping @Sendable (_ allHere: Bool) -> Void
    ) {
        let (isReachable, delay, isSilent) = state.withLock { state in
            state.demands += 1
            return (state.isReachable, state.demandMilliseconds, state.isSilent)
        }
        if isSilent { return }
        onThread {
            sleepMilliseconds(delay)
            if isReachable { self.chunks.reveal(missing.map(\.address)) }
            completion(isReachable)
        }
    }

    func facts(of node: NodeID) throws(VolumeError) -> NodeFacts {
        try with { (state) throws(VolumeError) in
            let object = try state.object(node)
            return NodeFacts(
                versions: object.versions.map { "v\($0)" }, writer: "someone",
                written: Timestamp(seconds: 1, nanoseconds: 2_000_000),
                others: object.isCopy ? [Array("other".utf8), Array("third".utf8)] : nil)
        }
    }

    func sync() throws(VolumeError) {
        try with { (state) throws(VolumeError) in state.syncs += 1 }
    }

    func statistics() throws(VolumeError) -> VolumeStatistics {
        try with { (state) throws(VolumeError) in
            VolumeStatistics(
                files: UInt64(state.objects.count),
                bytes: state.objects.values.reduce(0) { $0 + $1.content.size },
                diskBytesTotal: 1 << 41,
                diskBytesFree: state.freeBytes)
        }
    }

    func setObserver(_ observer: (any VolumeObserver)?) {
        state.withLock { $0.observer = observer }
    }
}

extension FakeVolume.State {
    mutating func requireCurrent() throws(VolumeError) {
        guard stale > 0 else { return }
        stale -= 1
        staleLookups += laterStaleLookups
        laterStaleLookups = 0
        throw .stale
    }

    func object(_ node: NodeID) throws(VolumeError) -> FakeVolume.Object {
        guard let object = objects[node] else { throw .stale }
        return object
    }

    func shown(_ name: [UInt8], in directory: NodeID) -> ViewChange.Shown? {
        objects[directory]?.children[name].flatMap { node in
            objects[node].map { ViewChange.Shown(node: node, kind: $0.attributes.kind) }
        }
    }

    func entry(_ name: [UInt8], in directory: NodeID) throws(VolumeError) -> NodeID {
        let holder = try object(directory)
        guard holder.attributes.kind == .directory else { throw .notDirectory }
        guard let node = holder.children[name] else { throw .notFound }
        return node
    }

    func requireFree(_ name: [UInt8], in directory: NodeID) throws(VolumeError) {
        let holder = try object(directory)
        guard holder.attributes.kind == .directory else { throw .notDirectory }
        guard holder.attributes.links > 0 else { throw .notFound }
        if holder.children[name] != nil { throw .exists }
    }

    func node(_ path: String) -> NodeID? {
        var node = NodeID.root
        for name in path.split(separator: "/") {
            guard let child = objects[node]?.children[Array(name.utf8)] else { return nil }
            node = child
        }
        return node
    }

    mutating func add(_ name: [UInt8], _ node: NodeID, to directory: NodeID) {
        objects[directory]?.children[name] = node
        touch(directory)
        if objects[node]?.attributes.kind == .directory {
            objects[node]?.parent = directory
            objects[directory]?.attributes.links += 1
        }
    }

    mutating func remove(_ name: [UInt8], from directory: NodeID, keeping: Bool = false) {
        guard let node = objects[directory]?.children.removeValue(forKey: name) else { return }
        touch(directory)
        objects[node]?.attributes.changed = .now
        if objects[node]?.attributes.kind == .directory {
            objects[directory]?.attributes.links -= 1
            if !keeping { objects[node]?.attributes.links = 0 }
        } else if !keeping {
            objects[node]?.attributes.links -= 1
        }
    }

    mutating func touch(_ directory: NodeID) {
        objects[directory]?.attributes.modified = .now
        objects[directory]?.attributes.changed = .now
    }
}
