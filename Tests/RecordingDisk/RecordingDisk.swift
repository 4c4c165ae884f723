import CFuse3
import CLinux
import Foundation
import Glibc
import Synchronization

/// A file system that passes everything through to a folder and remembers what was synced, so that it
/// can say what a power failure leaves.
final class RecordingDisk {
    private let backing: String
    private let root: DiskNode
    private var changes: [NameChange] = []
    private var open: [Int32: DiskNode] = [:]
    private let model: PowerFailure.Model
    /// Whether every change and every sync fails.
    var isBroken = false

    /// - Parameter backing: the folder that holds the files; what is in it is on the platter.
    init(backing: String, model: PowerFailure.Model) throws {
        self.backing = backing
        self.model = model
        root = try Self.load(backing)
    }

    private static func load(_ path: String) throws -> DiskNode {
        var facts = stat()
        guard lstat(path, &facts) == 0 else { throw DiskError(path) }
        switch facts.st_mode & S_IFMT {
        case S_IFDIR:
            let node = DiskNode(.folder, mode: facts.st_mode)
            for name in try FileManager.default.contentsOfDirectory(atPath: path) {
                node.names[name] = try load("\(path)/\(name)")
            }
            node.syncedNames = node.names
            return node
        case S_IFREG:
            let node = DiskNode(.file, mode: facts.st_mode)
            node.synced = [UInt8](try Data(contentsOf: URL(fileURLWithPath: path)))
            return node
        case S_IFLNK:
            let target = try FileManager.default.destinationOfSymbolicLink(atPath: path)
            return DiskNode(.symlink(target: target), mode: facts.st_mode)
        default: return DiskNode(.other, mode: facts.st_mode)
        }
    }

    /// The power fails: writes what the disk holds then to `path`.
    func fail(seed: UInt64, to path: String) throws {
        var failure = PowerFailure(model, seed: seed)
        failure.settle(changes)
        try failure.write(root, to: path)
    }

    func path(_ path: String) -> String { backing + path }

    // MARK: Names

    private func node(_ path: String) -> DiskNode? {
        var node = root
        for name in path.split(separator: "/") {
            guard let next = node.names[String(name)] else { return nil }
            node = next
        }
        return node
    }

    private func place(_ path: String) -> (folder: DiskNode, name: String)? {
        guard let slash = path.lastIndex(of: "/"), let folder = node(String(path[..<slash])) else {
            return nil
        }
        return (folder, String(path[path.index(after: slash)...]))
    }

    /// A name was made.
    func added(_ path: String, _ kind: DiskNode.Kind) {
        var facts = stat()
        lstat(self.path(path), &facts)
        add(path, DiskNode(kind, mode: facts.st_mode))
    }

    func linked(_ old: String, as new: String) {
        if let node = node(old) { add(new, node) }
    }

    private func add(_ path: String, _ node: DiskNode) {
        guard let place = place(path) else { return }
        place.folder.names[place.name] = node
        changes.append(.add(folder: place.folder, name: place.name, node: node))
    }

    func removed(_ path: String) {
        guard let place = place(path) else { return }
        place.folder.names[place.name] = nil
        changes.append(.remove(folder: place.folder, name: place.name))
    }

    func renamed(_ old: String, to new: String) {
        guard let from = place(old), let to = place(new),
            let node = from.folder.names.removeValue(forKey: from.name)
        else { return }
        to.folder.names[to.name] = node
        changes.append(
            .rename(folder: from.folder, name: from.name, newFolder: to.folder, newName: to.name))
    }

    func modeChanged(_ path: String, _ mode: UInt32) { node(path)?.mode = mode }

    // MARK: Files

    /// - Parameter truncates: the file was emptied by opening it.
    func opened(_ path: String, as file: Int32, truncates: Bool) {
        guard let node = node(path) else { return }
        open[file] = node
        if truncates { node.changes.append(.resize(0)) }
    }

    func closed(_ file: Int32) { open[file] = nil }

    func changed(_ file: Int32, _ change: DiskNode.Change) { open[file]?.changes.append(change) }

    func changed(_ path: String, _ change: DiskNode.Change) { node(path)?.changes.append(change) }

    func synced(_ file: Int32) {
        open[file]?.sync()
        guard model == .ext4 else { return }
        for change in changes { change.apply() }
        changes = []
    }

    func synced(folder path: String) {
        guard let folder = node(path) else { return }
        var rest: [NameChange] = []
        for change in changes {
            if model == .ext4 || change.places.contains(where: { $0.folder === folder }) {
                change.apply()
            } else {
                rest.append(change)
            }
        }
        changes = rest
    }
}
