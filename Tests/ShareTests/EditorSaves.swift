import Base
import Chunks

@testable import Share

/// How programs save a file: the calls of each family of programs, told to a volume.
enum EditorSave: String, CaseIterable, Sendable {
    /// vim with backupcopy=yes, nano, VS Code, `rsync --inplace`, a shell's `>`: written in place.
    case inPlace
    /// vim with backupcopy=no: renamed to f~, f made anew, f~ removed.
    case vimRename
    /// The same with `backup` set, and Emacs: f~ stays, and the next save replaces it.
    case keptBackup
    /// `sed -i`, rsync, LibreOffice, gedit, atomic saves of all kinds: a temporary file over the old.
    case renameOver
    /// `sed -i.bak`: the old one aside, then a temporary file to its name.
    case asideAndRename
    /// `rsync --backup`, dpkg: the old one linked to another name, then a temporary file over it.
    case linkedBackup
    /// git checkout, tar, unzip: removed and made anew.
    case unlinkAndCreate

    func save(_ path: String, _ text: String, on device: Network.Device) throws {
        switch self {
        case .inPlace: try device.write(path, text)
        case .vimRename:
            let former = try device.directory(path)
            try device.rename(path, path + "~")
            try device.make(path, text, succeeding: former)
            try device.unlink(path + "~")
        case .keptBackup:
            let former = try device.directory(path)
            try device.rename(path, path + "~")
            try device.make(path, text, succeeding: former)
        case .renameOver:
            try device.write("sedX1Y2", text)
            try device.rename("sedX1Y2", path)
        case .asideAndRename:
            let former = try device.directory(path)
            try device.write(".tmp.Ab3", text)
            try device.rename(path, path + ".bak")
            try device.rename(".tmp.Ab3", path, succeeding: former)
        case .linkedBackup:
            try device.write(".f.txt.a7EG", text)
            if try device.names().contains(path + "~") { try device.unlink(path + "~") }
            _ = try device.volume.link(
                try device.directory(path), as: Array("\(path)~".utf8), in: .root)
            try device.rename(".f.txt.a7EG", path)
        case .unlinkAndCreate:
            let former = try device.directory(path)
            try device.unlink(path)
            try device.make(path, text, succeeding: former)
        }
    }

    /// What is there after a save.
    func names(_ path: String) -> [String] {
        switch self {
        case .keptBackup, .linkedBackup: [path, path + "~"]
        case .asideAndRename: [path, path + ".bak"]
        default: [path]
        }
    }
}

extension Network.Device {
    /// Makes a file where another was, as a mount tells the volume.
    fileprivate func make(_ path: String, _ text: String, succeeding former: NodeID) throws {
        let made = try volume.makeAnew(
            Array(path.utf8), in: .root,
            MakeRequest(kind: .file, mode: 0o644, uid: 0, gid: 0), succeeding: former)
        guard let made else {
            try write(path, text)
            throw NoSave()
        }
        _ = try volume.publish(
            Save(
                node: made.attributes.node, parents: made.versions,
                content: .inline(Array(text.utf8)), modified: wallTime(), settlesStaging: false))
    }

    fileprivate func rename(_ path: String, _ other: String, succeeding former: NodeID) throws {
        let result = try volume.rename(
            Array(path.utf8), in: .root, to: Array(other.utf8), in: .root, .replace,
            succeeding: former)
        guard case .succeeded = result else { throw NoSave() }
    }
}

/// A save was not taken for one.
struct NoSave: Error {}
