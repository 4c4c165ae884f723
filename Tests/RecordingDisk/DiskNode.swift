/// What a recording disk knows of one file or folder: what is on the platter, and what came since.
final class DiskNode {
    enum Kind { case file, folder, symlink(target: String), other }

    /// A change of a file's content that no sync has covered.
    enum Change {
        case write(offset: Int, bytes: [UInt8])
        case resize(Int)
        case zero(Range<Int>)
    }

    let kind: Kind
    var mode: UInt32
    /// A file's bytes as the last sync left them.
    var synced: [UInt8] = []
    /// Since then, in order.
    var changes: [Change] = []
    /// A folder's names as they are now.
    var names: [String: DiskNode] = [:]
    /// A folder's names as they would be found after a power failure that spared nothing else.
    var syncedNames: [String: DiskNode] = [:]

    init(_ kind: Kind, mode: UInt32) {
        self.kind = kind
        self.mode = mode
    }

    /// All of the content is on the platter now.
    func sync() {
        for change in changes { Self.apply(change, to: &synced) }
        changes = []
    }

    static func apply(_ change: Change, to bytes: inout [UInt8]) {
        switch change {
        case .write(let offset, let new):
            let end = offset + new.count
            if bytes.count < end { resize(&bytes, to: end) }
            bytes.replaceSubrange(offset..<end, with: new)
        case .resize(let size): resize(&bytes, to: size)
        case .zero(let range):
            for index in range.clamped(to: 0..<bytes.count) { bytes[index] = 0 }
        }
    }

    static func resize(_ bytes: inout [UInt8], to size: Int) {
        if size < bytes.count {
            bytes.removeLast(bytes.count - size)
        } else {
            bytes.append(contentsOf: repeatElement(0, count: size - bytes.count))
        }
    }
}

/// A change of names that no sync has covered.
enum NameChange {
    case add(folder: DiskNode, name: String, node: DiskNode)
    case remove(folder: DiskNode, name: String)
    case rename(folder: DiskNode, name: String, newFolder: DiskNode, newName: String)

    /// The places it touches.
    var places: [(folder: DiskNode, name: String)] {
        switch self {
        case .add(let folder, let name, _), .remove(let folder, let name): [(folder, name)]
        case .rename(let folder, let name, let newFolder, let newName):
            [(folder, name), (newFolder, newName)]
        }
    }

    /// Puts it on the platter.
    func apply() {
        switch self {
        case .add(let folder, let name, let node): folder.syncedNames[name] = node
        case .remove(let folder, let name): folder.syncedNames[name] = nil
        case .rename(let folder, let name, let newFolder, let newName):
            let node = folder.syncedNames.removeValue(forKey: name)
            if let node { newFolder.syncedNames[newName] = node }
        }
    }
}
