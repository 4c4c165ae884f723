import Base
import Foundation
import Glibc

/// What a disk may hold when the power comes back.
///
/// Of a file: what was synced, and of what came since any part, in sectors of 512 bytes. Of names:
///
/// - `ext4`: names change in order, so a first part of the changes is there; the sync of any file
///   brings all that came before it.
/// - `strict`: what POSIX promises, and no more. Each change of a name may be there or not, as long as
///   no later one of the same name stands on it; the sync of a file does nothing for its name, only
///   that of its folder does.
struct PowerFailure {
    enum Model: String { case ext4, strict }

    private enum Limits {
        static let sectorSize = 512
    }

    let model: Model
    private var random: SeededRandom
    /// How likely a change is to be there, in percent: of all or of nothing at times.
    private let chance: Int

    init(_ model: Model, seed: UInt64) {
        self.model = model
        random = SeededRandom(seed: seed)
        chance = [0, 10, 50, 90, 100].randomElement(using: &random) ?? 50
    }

    private mutating func survives() -> Bool {
        Int.random(in: 0..<100, using: &random) < chance
    }

    /// Decides which changes of names are on the platter.
    mutating func settle(_ changes: [NameChange]) {
        switch model {
        case .ext4:
            let count = Int.random(in: 0...changes.count, using: &random)
            for change in changes.prefix(count) { change.apply() }
        case .strict:
            var lost: [(folder: DiskNode, name: String)] = []
            for change in changes {
                let places = change.places
                let standsOnLost = places.contains { place in
                    lost.contains { $0.folder === place.folder && $0.name == place.name }
                }
                if !standsOnLost, survives() {
                    change.apply()
                } else {
                    lost += places
                }
            }
        }
    }

    /// Writes what is left of a folder to `path`, which must not exist.
    mutating func write(_ node: DiskNode, to path: String) throws {
        switch node.kind {
        case .folder:
            guard mkdir(path, 0o700) == 0 else { throw DiskError(path) }
            for (name, child) in node.syncedNames.sorted(by: { $0.key < $1.key }) {
                try write(child, to: "\(path)/\(name)")
            }
            chmod(path, node.mode & 0o7777)
        case .file:
            guard FileManager.default.createFile(atPath: path, contents: Data(content(of: node)))
            else { throw DiskError(path) }
            chmod(path, node.mode & 0o7777)
        case .symlink(let target): _ = Glibc.symlink(target, path)
        case .other: break
        }
    }

    private mutating func content(of node: DiskNode) -> [UInt8] {
        var bytes = node.synced
        guard !node.changes.isEmpty else { return bytes }
        let size = size(of: node)
        for change in node.changes {
            switch change {
            case .write(let offset, let new): write(new, at: offset, to: &bytes)
            case .resize(let newSize) where newSize < bytes.count:
                // What was cut off may come back with the size, as zeros.
                if survives() { DiskNode.apply(.zero(newSize..<bytes.count), to: &bytes) }
            case .resize: break
            case .zero: if survives() { DiskNode.apply(change, to: &bytes) }
            }
        }
        DiskNode.resize(&bytes, to: size)
        return bytes
    }

    /// Sizes change in order.
    private mutating func size(of node: DiskNode) -> Int {
        var sizes = [node.synced.count]
        for change in node.changes {
            let last = sizes.last ?? 0
            switch change {
            case .write(let offset, let new): sizes.append(max(last, offset + new.count))
            case .resize(let size): sizes.append(size)
            case .zero: break
            }
        }
        if chance == 100 { return sizes.last ?? 0 }
        return sizes.randomElement(using: &random) ?? 0
    }

    private mutating func write(_ new: [UInt8], at offset: Int, to bytes: inout [UInt8]) {
        var start = 0
        while start < new.count {
            let sectorEnd = (offset + start) / Limits.sectorSize * Limits.sectorSize
            let end = min(new.count, sectorEnd + Limits.sectorSize - offset)
            if survives() {
                let part = DiskNode.Change.write(
                    offset: offset + start, bytes: Array(new[start..<end]))
                DiskNode.apply(part, to: &bytes)
            }
            start = end
        }
    }
}

struct DiskError: Error, CustomStringConvertible {
    let path: String
    let code = errno

    init(_ path: String) { self.path = path }

    var description: String { "\(path): \(String(cString: strerror(code)))" }
}
