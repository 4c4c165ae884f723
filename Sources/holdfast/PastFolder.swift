import Base
import FuseMount
import Host
import Share
import Store
import Synchronization

/// `.holdfast/at`: the share as it was. Every moment that is over has a folder there, under any name that
/// `TimeArgument` takes for a date or for seconds since 1970; only those in use are listed.
///
/// What such a folder shows is put together from the whole history when somebody looks into it, and kept
/// while it is used; what other devices tell of that time only later is there the next time.
final class PastFolder: VirtualDirectory {
    private enum Limits {
        /// A moment that nobody looked at for so long is put together anew.
        static let unused = Duration.seconds(60)
    }

    private struct State {
        /// By the scratch database that each has; the latest used last.
        var moments: [PastMoment] = []
        var hasEnded = false
    }

    private let volume: ShareVolume
    private let folder: ShareFolder
    private let state = Mutex(State())

    init(_ volume: ShareVolume, scratchIn folder: ShareFolder) {
        self.volume = volume
        self.folder = folder
    }

    func node(named name: [UInt8]) throws(VolumeError) -> VirtualNode {
        guard let text = String(validating: name, as: UTF8.self),
            text.contains("-") || text.hasPrefix("@"),
            let time = TimeArgument.milliseconds(text, now: 0),
            time < wallNow().milliseconds
        else { throw .notFound }
        let moment = try moment(at: time, named: name)
        return VirtualNode(
            .directory(PastDirectory(moment, .root)), identity: moment.number, mode: 0o500)
    }

    func names() throws(VolumeError) -> [VirtualName] {
        state.withLock(\.moments).map { VirtualName($0.name, .directory, identity: $0.number) }
    }

    private func moment(at time: UInt64, named name: [UInt8]) throws(VolumeError) -> PastMoment {
        let now = monotonicNow()
        let moment: PastMoment? = state.withLock { state in
            guard !state.hasEnded else { return nil }
            let known = state.moments.firstIndex { $0.time == time && $0.name == name }
            if let known {
                let moment = state.moments.remove(at: known)
                if moment.isUsed(after: now + (.zero - Limits.unused)) {
                    state.moments.append(moment)
                    return moment
                }
                moment.end()
            }
            let scratches = ShareFolder.Scratch.moments
            while state.moments.count >= scratches.count { state.moments.removeFirst().end() }
            let free = scratches.first { scratch in
                !state.moments.contains { $0.scratch == scratch }
            }
            guard let free else { return nil }
            let made = PastMoment(
                time, named: name, of: volume, scratch: free, in: folder, now: now)
            state.moments.append(made)
            return made
        }
        guard let moment else { throw .stale }
        return moment
    }

    /// Gives back what the moments take; nothing is shown any more.
    func end() {
        let moments = state.withLock { state in
            state.hasEnded = true
            defer { state.moments = [] }
            return state.moments
        }
        for moment in moments { moment.end() }
        for scratch in ShareFolder.Scratch.moments { folder.removeScratch(scratch) }
    }
}

/// One moment that somebody looks at.
final class PastMoment: Sendable {
    /// In milliseconds since 1970.
    let time: UInt64
    let name: [UInt8]
    let scratch: ShareFolder.Scratch
    /// Tells it apart from another look at the same time.
    let number: UInt64
    private let volume: ShareVolume
    private let folder: ShareFolder
    private let shown = Mutex<PastView?>(nil)
    private let hasEnded = Atomic(false)
    private let lastUse: Atomic<UInt64>
    private static let lastNumber = Atomic<UInt64>(0)

    init(
        _ time: UInt64, named name: [UInt8], of volume: ShareVolume,
        scratch: ShareFolder.Scratch, in folder: ShareFolder, now: Instant
    ) {
        self.time = time
        self.name = name
        self.volume = volume
        self.scratch = scratch
        self.folder = folder
        number = Self.lastNumber.wrappingAdd(1, ordering: .relaxed).newValue
        lastUse = Atomic(now.nanoseconds)
    }

    func isUsed(after instant: Instant) -> Bool {
        lastUse.load(ordering: .relaxed) > instant.nanoseconds
    }

    /// The tree of that time. Whoever comes first waits for as long as the history takes to read, and so do
    /// those who come meanwhile.
    ///
    /// - Throws: `.stale` once it has ended.
    func view() throws(VolumeError) -> PastView {
        lastUse.store(monotonicNow().nanoseconds, ordering: .relaxed)
        return try shown.withLock { (shown) throws(VolumeError) in
            guard !hasEnded.load(ordering: .acquiring) else { throw .stale }
            if let shown { return shown }
            let database: ShareDatabase
            do throws(StorageError) {
                database = try folder.openScratch(scratch)
            } catch {
                throw .storage(error)
            }
            let view = try volume.past(at: time, scratch: database)
            shown = view
            return view
        }
    }

    /// Whoever stands in it gets `.stale`. The database's files go with the next moment that has them.
    func end() { hasEnded.store(true, ordering: .releasing) }
}

/// A directory of a moment.
private struct PastDirectory: VirtualDirectory {
    private let moment: PastMoment
    private let directory: NodeID

    init(_ moment: PastMoment, _ directory: NodeID) {
        self.moment = moment
        self.directory = directory
    }

    func node(named name: [UInt8]) throws(VolumeError) -> VirtualNode {
        let view = try moment.view()
        let attributes = try view.lookup(name, in: directory)
        let node = attributes.node
        let body: VirtualNode.Body
        switch attributes.kind {
        case .directory: body = .directory(PastDirectory(moment, node))
        case .symlink: body = .link(try view.readLink(node))
        case .file:
            body = .content(size: attributes.size) { [moment] () throws(VolumeError) in
                try moment.view().openContent(of: node)
            }
        // Nobody listens at those of another time.
        case .fifo, .socket, .characterDevice, .blockDevice: throw .notFound
        }
        return VirtualNode(
            body, identity: identity(of: node), mode: attributes.mode & 0o777,
            modified: attributes.modified)
    }

    func names() throws(VolumeError) -> [VirtualName] {
        try moment.view().list(directory).compactMap { item in
            switch item.kind {
            case .directory, .symlink, .file:
                VirtualName(item.name, item.kind, identity: identity(of: item.node))
            case .fifo, .socket, .characterDevice, .blockDevice: nil
            }
        }
    }

    /// One look never changes what it shows.
    private func identity(of node: NodeID) -> UInt64 {
        node.rawValue ^ moment.number &* 0x9e37_79b9_7f4a_7c15
    }
}
