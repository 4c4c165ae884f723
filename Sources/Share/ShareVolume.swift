package import Base
package import Chunks
package import Crypto
import FileTree

/// One share, open on this device: the `Volume` that a mount shows and the `ConnectionHandler`
/// that peers talk to.
///
/// Two locks. The engine's guards logs, view and storage; filesystem calls run under it on the
/// thread that brought them. The peers' guards the sessions; the event loop alone takes it for
/// long. Whoever holds the peers' lock may take the engine's, never the other way round. Observer
/// and completions are called without either.
package final class ShareVolume: Volume {
    let engine: Guarded<Engine>
    let peers: Guarded<PeerTable>
    package let keys: ShareKeys
    let chunks: any ChunkStorage
    let environment: any ShareEnvironment
    /// Tells peers apart the processes that this device runs one after the other.
    let instance: UInt64
    private let barrier: any DurabilityBarrier
    /// The engine's commits that `sync` has made durable.
    private let durableCommits = Guarded(UInt64(0))
    let diskSpace: @Sendable () -> (total: UInt64, free: UInt64)
    private let observer = Guarded(WeakObserver())

    private struct WeakObserver {
        weak var value: (any VolumeObserver)?
    }

    /// - Parameters:
    ///   - storage: used by this volume alone from now on.
    ///   - diskSpace: of the disk that holds the state, in bytes.
    package init(
        _ identity: ShareIdentity, origin: ShareOrigin, storage: any ShareStorage,
        chunks: any ChunkStorage, environment: any ShareEnvironment,
        diskSpace: @escaping @Sendable () -> (total: UInt64, free: UInt64),
        checkpoints policy: CheckpointPolicy = .standard
    ) throws(StorageError) {
        keys = identity.keys
        self.chunks = chunks
        self.environment = environment
        instance = environment.randomBytes(8).reduce(0) { $0 << 8 | UInt64($1) }
        self.diskSpace = diskSpace
        barrier = storage.barrier
        var opened = try Engine(
            identity, origin: origin, storage: storage, chunks: chunks, environment: environment,
            policy: policy)
        var table = PeerTable()
        for wanted in try storage.wantedChunks() {
            guard chunks.contains(wanted.reference.address) else {
                table.fetcher.want(wanted.reference, isList: wanted.isList)
                continue
            }
            do throws(StorageError) {
                // The process may have ended before it committed what the list made wanted.
                if wanted.isList {
                    try opened.wantChildren(ofStored: wanted.reference, isOwed: wanted.isOwed)
                }
                table.arrived.append((wanted.reference, wanted.isList))
            } catch {
                // A full disk keeps nobody from opening a share: it is asked for once more.
                table.fetcher.want(wanted.reference, isList: wanted.isList)
            }
        }
        for wanted in opened.takeNewlyWanted() { table.fetcher.want(wanted) }
        engine = Guarded(opened)
        peers = Guarded(table)
        try makeDurable()
    }

    /// What this device is known by in the share.
    package var device: KeyPair { engine.withLock { $0.device } }

    /// Runs a call that changes something, then seals a full block and passes on what the caller's
    /// kernel does not know: changes under other names than those it named itself.
    func change<Result>(
        naming own: [OwnName] = [], _ body: (inout Engine) throws(VolumeError) -> Result
    ) throws(VolumeError) -> Result {
        var others: [ViewChange] = []
        var mustWake = false
        // Also if the call fails: what others did is told once.
        defer {
            if mustWake { environment.wake() }
            notify(others)
        }
        return try engine.withLock { (engine) throws(VolumeError) in
            let wasDirty = engine.isDirty
            let hadBlock = engine.open != nil
            // What came from other devices and is not told yet: nothing of it is the caller's.
            others = engine.takeChanges()
            defer {
                let exchanged = engine.takeExchangedNames()
                // Of a directory that the call did not name the caller's kernel keeps the times.
                for place in exchanged
                where !own.contains(where: { $0.directory == place.directory }) {
                    others.append(.derived(place.directory))
                }
                others += engine.mergeChanges
                others += engine.takeChanges().filter { change in
                    guard case .entry(let directory, let name, _) = change else {
                        return false
                    }
                    let place = OwnName(directory: directory, name: name)
                    return !own.contains(place) && !exchanged.contains(place)
                }
                // A new block is due earlier than what made the engine dirty before.
                let isNewBlock = !hadBlock && engine.open != nil
                mustWake =
                    mustWake || engine.mustMerge || isNewBlock || (!wasDirty && engine.isDirty)
            }
            engine.mustMerge = false
            engine.isFirstOfCall = true
            let result = try body(&engine)
            if engine.isBlockFull {
                do throws(StorageError) {
                    try engine.commit()
                } catch .full {
                    // What was asked for is done; the next change is refused.
                } catch {
                    throw .storage(error)
                }
                mustWake = true
            }
            return result
        }
    }

    func notify(_ changes: [ViewChange]) {
        guard !changes.isEmpty, let observer = observer.withLock({ $0.value }) else { return }
        observer.volumeChanged(changes)
    }

    /// What was committed survives a power cut when this returns. Holds no lock meanwhile.
    func makeDurable() throws(StorageError) { try barrier.wait() }

    package func setObserver(_ observer: (any VolumeObserver)?) {
        self.observer.withLock { $0.value = observer }
    }

    // MARK: Names

    package func lookup(_ name: [UInt8], in directory: NodeID) throws(VolumeError) -> Attributes {
        try engine.withLock { (engine) throws(VolumeError) in
            try engine.lookup(name, in: directory)
        }
    }

    package func attributes(of node: NodeID) throws(VolumeError) -> Attributes {
        try engine.withLock { (engine) throws(VolumeError) in try engine.attributes(of: node) }
    }

    package func attributes(of nodes: [NodeID]) throws(VolumeError) -> [Attributes?] {
        try engine.withLock { (engine) throws(VolumeError) in
            var result: [Attributes?] = []
            result.reserveCapacity(nodes.count)
            for node in nodes {
                do throws(VolumeError) {
                    result.append(try engine.attributes(of: node))
                } catch .stale {
                    result.append(nil)
                }
            }
            return result
        }
    }

    package func setAttributes(of node: NodeID, to change: AttributeChange)
        throws(VolumeError) -> Attributes
    {
        try self.change { (engine) throws(VolumeError) in
            try engine.setAttributes(of: node, to: change)
        }
    }

    package func parent(of directory: NodeID) throws(VolumeError) -> NodeID {
        try engine.withLock { (engine) throws(VolumeError) in try engine.parent(of: directory) }
    }

    package func path(of node: NodeID) throws(VolumeError) -> NodePath? {
        try engine.withLock { (engine) throws(VolumeError) in
            let id = try engine.operation(node)
            let path = try Engine.stored { () throws(StorageError) in
                try engine.tree.path(of: id)
            }
            return path.map { NodePath(directory: NodeID($0.directory), names: $0.names) }
        }
    }

    package func list(_ directory: NodeID) throws(VolumeError) -> [DirectoryItem] {
        try engine.withLock { (engine) throws(VolumeError) in try engine.list(directory) }
    }

    package func make(_ name: [UInt8], in directory: NodeID, _ request: MakeRequest)
        throws(VolumeError) -> Attributes
    {
        try change(naming: [OwnName(directory: directory, name: name)]) {
            (engine) throws(VolumeError) in
            try engine.make(name, in: directory, request)
        }
    }

    package func makeAnew(
        _ name: [UInt8], in directory: NodeID, _ request: MakeRequest, succeeding former: NodeID
    ) throws(VolumeError) -> Succession? {
        try change(naming: [OwnName(directory: directory, name: name)]) {
            (engine) throws(VolumeError) in
            try engine.makeAnew(name, in: directory, request, succeeding: former)
        }
    }

    package func link(_ node: NodeID, as name: [UInt8], in directory: NodeID)
        throws(VolumeError) -> Attributes
    {
        try change(naming: [OwnName(directory: directory, name: name)]) {
            (engine) throws(VolumeError) in
            try engine.link(node, as: name, in: directory)
        }
    }

    @discardableResult
    package func unlink(_ name: [UInt8], in directory: NodeID) throws(VolumeError) -> NodeID {
        try change(naming: [OwnName(directory: directory, name: name)]) {
            (engine) throws(VolumeError) in
            try engine.unlink(name, in: directory)
        }
    }

    @discardableResult
    package func removeDirectory(_ name: [UInt8], in directory: NodeID) throws(VolumeError)
        -> NodeID
    {
        try change(naming: [OwnName(directory: directory, name: name)]) {
            (engine) throws(VolumeError) in
            try engine.removeDirectory(name, in: directory)
        }
    }

    package func rename(
        _ name: [UInt8], in directory: NodeID, to newName: [UInt8], in newDirectory: NodeID,
        _ mode: RenameMode, succeeding former: NodeID?
    ) throws(VolumeError) -> RenameResult {
        let own = [
            OwnName(directory: directory, name: name),
            OwnName(directory: newDirectory, name: newName),
        ]
        return try change(naming: own) { (engine) throws(VolumeError) in
            try engine.rename(
                name, in: directory, to: newName, in: newDirectory, mode, succeeding: former)
        }
    }

    package func node(showing number: NodeID) throws(VolumeError) -> NodeID {
        try engine.withLock { (engine) throws(VolumeError) in try engine.node(showing: number) }
    }

    package func readLink(_ node: NodeID) throws(VolumeError) -> [UInt8] {
        try engine.withLock { (engine) throws(VolumeError) in try engine.readLink(node) }
    }

    // MARK: Extended attributes

    package func extendedAttribute(_ name: [UInt8], of node: NodeID) throws(VolumeError)
        -> [UInt8]
    {
        try engine.withLock { (engine) throws(VolumeError) in
            try engine.extendedAttribute(name, of: node)
        }
    }

    package func extendedAttributeNames(of node: NodeID) throws(VolumeError) -> [[UInt8]] {
        try engine.withLock { (engine) throws(VolumeError) in
            try engine.xattrNames(try engine.operation(node))
        }
    }

    package func setExtendedAttribute(
        _ name: [UInt8], of node: NodeID, to value: [UInt8], mustExist: Bool, mustBeNew: Bool
    ) throws(VolumeError) {
        try change { (engine) throws(VolumeError) in
            try engine.setExtendedAttribute(
                name, of: node, to: value, mustExist: mustExist, mustBeNew: mustBeNew)
        }
    }

    package func removeExtendedAttribute(_ name: [UInt8], of node: NodeID) throws(VolumeError) {
        try change { (engine) throws(VolumeError) in
            try engine.removeExtendedAttribute(name, of: node)
        }
    }

    // MARK: Contents

    package func openContent(of node: NodeID) throws(VolumeError) -> OpenedContent {
        try engine.withLock { (engine) throws(VolumeError) in try engine.openContent(of: node) }
    }

    package func publish(_ save: Save) throws(VolumeError) -> Published {
        try change { (engine) throws(VolumeError) in try engine.publish(save) }
    }

    package func recordStaged(_ staged: StagedFile) throws(VolumeError) {
        try change { (engine) throws(VolumeError) in
            try engine.recordStaged(staged)
        }
    }

    package func forgetStaged(_ node: NodeID) throws(VolumeError) {
        try change { (engine) throws(VolumeError) in
            try Engine.stored { () throws(StorageError) in
                try engine.storage.removeStaged(engine.current(node))
            }
            engine.markDirty()
        }
    }

    package func stagedFiles() throws(VolumeError) -> [StagedFile] {
        try engine.withLock { (engine) throws(VolumeError) in
            try Engine.stored { () throws(StorageError) in try engine.storage.stagedFiles() }
        }
    }

    package func demand(
        _ references: [ChunkReference],
        completion: @escaping @Sendable (_ allHere: Bool) -> Void
    ) {
        let missing = references.filter { !chunks.contains($0.address) }
        guard !missing.isEmpty else { return completion(true) }
        let isHopeless = peers.withLock { table in
            guard !table.isPaused, table.demands.count < PeerTable.Limits.demands else {
                return true
            }
            for reference in missing { table.fetcher.hurry(reference, isList: false) }
            table.demands.append(
                PeerTable.Demand(
                    missing: Set(missing.map(\.address)),
                    deadline: environment.now() + PeerTable.Limits.demandTime,
                    completion: completion))
            return false
        }
        if isHopeless { completion(false) } else { environment.wake() }
    }

    // MARK: The whole

    package func sync() throws(VolumeError) {
        let commits = try engine.withLock { (engine) throws(VolumeError) in
            try Engine.stored { () throws(StorageError) in try engine.commit() }
            return engine.commits
        }
        guard durableCommits.withLock({ $0 < commits }) else { return }
        try Engine.stored { () throws(StorageError) in try makeDurable() }
        durableCommits.withLock { $0 = max($0, commits) }
        environment.wake()
    }

    package func statistics() throws(VolumeError) -> VolumeStatistics {
        let space = diskSpace()
        return engine.withLock { engine in
            let totals = engine.tree.totals
            return VolumeStatistics(
                files: totals.files &+ totals.directories, bytes: totals.bytes,
                diskBytesTotal: space.total, diskBytesFree: space.free)
        }
    }
}

extension Engine {
    mutating func takeChanges() -> [ViewChange] {
        let taken = changes
        changes = []
        mergeChanges = []
        return taken
    }
}
