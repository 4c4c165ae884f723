internal import Base
internal import Chunks
internal import FileTree
internal import Share
internal import TreeModel

/// Looking at everything that a device shows, through the calls that a mount makes.
extension DeviceWorld {
    /// Draws what a device shows, and checks on the way that it is a tree: names are unique and found,
    /// every directory is in one place and knows where.
    ///
    /// - Returns: nil if it is down, or cannot be read.
    @discardableResult
    func look(through device: VirtualDevice) -> Picture? {
        guard device.volume != nil else { return nil }
        var picture = Picture()
        var isWhole = false
        program(on: device) { (volume) throws(VolumeError) in
            var seen: Set<NodeID> = [.root]
            try draw(.root, "", parent: .root, device, volume, into: &picture, &seen)
            isWhole = true
        }
        guard isWhole else {
            report(.invariant, "\(device.name) cannot be looked through")
            return nil
        }
        checkConflictFree(picture, device)
        return picture
    }

    private func draw(
        _ directory: NodeID, _ path: String, parent: NodeID, _ device: VirtualDevice,
        _ volume: ShareVolume, into picture: inout Picture, _ seen: inout Set<NodeID>
    ) throws(VolumeError) {
        let shownParent = try volume.parent(of: directory)
        if shownParent != parent {
            report(.invariant, "\(device.name): /\(path) does not know its parent")
        }
        let attributes = try volume.attributes(of: directory)
        picture.items[Array((path.isEmpty ? "/" : path).utf8)] = try item(
            attributes, device, volume)
        var names: Set<[UInt8]> = []
        for listed in try volume.list(directory) {
            let text = path + String(decoding: listed.name, as: UTF8.self)
            if path.isEmpty, text == ".holdfast" { continue }
            if !names.insert(listed.name).inserted {
                report(.invariant, "\(device.name): \(text) is there twice")
            }
            let found: Attributes
            do throws(VolumeError) {
                found = try volume.lookup(listed.name, in: directory)
            } catch {
                report(.invariant, "\(device.name): \(text) is listed and not found: \(error)")
                continue
            }
            if found.node != listed.node || found.kind != listed.kind
                || found.number != listed.number
            {
                report(.invariant, "\(device.name): \(text) is listed as something else")
            }
            if found.kind == .directory {
                guard seen.insert(found.node).inserted else {
                    report(.invariant, "\(device.name): \(text) is in two places")
                    continue
                }
                try draw(
                    found.node, text + "/", parent: directory, device, volume, into: &picture,
                    &seen)
            } else {
                picture.items[Array(text.utf8)] = try item(found, device, volume)
            }
        }
    }

    private func item(_ attributes: Attributes, _ device: VirtualDevice, _ volume: ShareVolume)
        throws(VolumeError) -> Picture.Item
    {
        let node = attributes.node
        var xattrs: [[UInt8]: [UInt8]] = [:]
        for name in try volume.extendedAttributeNames(of: node) {
            xattrs[name] = try volume.extendedAttribute(name, of: node)
        }
        var content: [UInt8] = []
        if attributes.kind == .file {
            let opened = try volume.openContent(of: node)
            content = opened.versions.isEmpty ? [] : opened.content.encode()
        }
        let name = device.name(of: node.rawValue)
        let identity =
            name.map { "\($0.log).\($0.block).\($0.index)" } ?? "\(Bytes32.zero).0.1"
        return Picture.Item(
            identity: identity, kind: ObjectKind(shown: attributes.kind),
            mode: UInt16(truncatingIfNeeded: attributes.mode), uid: attributes.uid,
            gid: attributes.gid, size: attributes.size, links: UInt64(attributes.links),
            modified: attributes.modified, accessed: attributes.accessed,
            changed: attributes.changed,
            target: attributes.kind == .symlink ? try volume.readLink(node) : [],
            content: content, xattrs: xattrs)
    }

    /// Calls `body` with every regular file's path and what it shows.
    func forEachFile(on device: VirtualDevice, _ body: (String, Showing) -> Void) {
        program(on: device) { (volume) throws(VolumeError) in
            var waiting: [(NodeID, String)] = [(.root, "")]
            while let (directory, path) = waiting.popLast() {
                for item in try volume.list(directory) {
                    let text = path + "/" + String(decoding: item.name, as: UTF8.self)
                    switch item.kind {
                    case .directory where text != "/.holdfast": waiting.append((item.node, text))
                    case .file: body(text, try showing(item.node, on: device, volume))
                    default: break
                    }
                }
            }
        }
    }

    private func checkConflictFree(_ picture: Picture, _ device: VirtualDevice) {
        guard isAlternating else { return }
        for path in picture.items.keys.sorted(by: { $0.lexicographicallyPrecedes($1) }) {
            let text = String(decoding: path, as: UTF8.self)
            if text.contains(" (conflict ") {
                return report(.falseConflict, "\(device.name): \(text)")
            }
        }
    }
}

extension ObjectKind {
    init(shown kind: FileKind) {
        self =
            switch kind {
            case .file: .file
            case .directory: .directory
            case .symlink: .symlink
            case .fifo: .fifo
            case .socket: .socket
            case .characterDevice: .characterDevice
            case .blockDevice: .blockDevice
            }
    }
}
