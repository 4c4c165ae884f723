internal import Base
internal import FileTree
internal import Share

/// Programs that move, link and remove things.
extension DeviceWorld {
    /// Renames, and writes down what the target's removal was done in the sight of.
    ///
    /// - Parameters:
    ///   - saves: the save that this rename brings about, for a program that saves so.
    ///   - seen: what that program had been shown.
    func rename(
        _ source: Place, to target: Place, saves: Int? = nil, seen: Set<Int> = [],
        on device: VirtualDevice, _ volume: ShareVolume
    ) throws(VolumeError) {
        var shown: Set<Int> = []
        do throws(VolumeError) {
            let found = try volume.lookup(target.name, in: target.directory)
            if found.kind == .file {
                shown = try showing(found.node, on: device, volume).saves
            }
        } catch .notFound {}
        var moved: Set<Int> = []
        if saves == nil {
            let found = try volume.lookup(source.name, in: source.directory)
            if found.kind == .file { moved = try showing(found.node, on: device, volume).saves }
        }
        let block = nextBlock(of: device)
        let result = try volume.rename(
            source.name, in: source.directory, to: target.name, in: target.directory, .replace)
        switch result {
        case .moved(_, replaced: .some):
            noteRemoval(of: shown, by: device, inBlock: block)
        case .saved(let node, _, _):
            // A program that saves had seen what it was shown when it began.
            noteRemoval(of: saves == nil ? shown : seen, by: device, inBlock: block)
            try nameVersions(of: node, saves.map { [$0] } ?? moved, on: device, volume)
        case .succeeded(let node, _, _):
            try nameVersions(of: node, saves.map { [$0] } ?? moved, on: device, volume)
        case .moved, .exchanged, .unchanged: break
        }
    }

    /// The bytes of saves are a version of another file now.
    private func nameVersions(
        of node: NodeID, _ saves: Set<Int>, on device: VirtualDevice, _ volume: ShareVolume
    ) throws(VolumeError) {
        for version in try volume.openContent(of: node).versions {
            guard let name = device.name(of: version), name.log == device.ownLog,
                book.save(named: name) == nil
            else { continue }
            for save in saves.sorted() { book.name(save, name) }
        }
    }

    func unlink(_ place: Place, on device: VirtualDevice, _ volume: ShareVolume)
        throws(VolumeError)
    {
        let found = try volume.lookup(place.name, in: place.directory)
        let shown =
            found.kind == .file ? try showing(found.node, on: device, volume).saves : []
        let block = nextBlock(of: device)
        _ = try volume.unlink(place.name, in: place.directory)
        noteRemoval(of: shown, by: device, inBlock: block)
    }

    func removeTree(_ place: Place, on device: VirtualDevice, _ volume: ShareVolume)
        throws(VolumeError)
    {
        let found = try volume.lookup(place.name, in: place.directory)
        guard found.kind == .directory else {
            return try unlink(place, on: device, volume)
        }
        for item in try volume.list(found.node) {
            // What comes in meanwhile stays, and with it the directory.
            do throws(VolumeError) {
                try removeTree(
                    Place(directory: found.node, name: item.name), on: device, volume)
            } catch .notFound {}
        }
        _ = try volume.removeDirectory(place.name, in: place.directory)
    }

    /// The first conflict copy that a directory shows.
    func copy(in path: String, _ volume: ShareVolume) throws(VolumeError) -> Place {
        let directory = try node(path, volume).node
        for item in try volume.list(directory) where item.kind == .file {
            let text = String(decoding: item.name, as: UTF8.self)
            if text.contains(" (conflict ") {
                return Place(directory: directory, name: item.name)
            }
        }
        throw .notFound
    }
}
