import Base
import Host
import Share

/// A conflict, and what its folder has in it.
struct ConflictListing {
    enum Content {
        case bytes(NodeID, size: UInt64, modified: Timestamp)
        /// Of a symlink.
        case target([UInt8])
        /// A folder's path from the root.
        case folder([UInt8])
    }

    struct Item {
        var name: [UInt8]
        var content: Content
    }

    let conflict: ShareConflict
    /// In the order in which they are listed.
    private(set) var items: [Item] = []
    /// For each version the name of its item, if it has one, and of what it comes from.
    private(set) var names: [(file: [UInt8]?, base: [UInt8]?)] = []

    init(_ conflict: ShareConflict, _ volume: ShareVolume) throws(VolumeError) {
        self.conflict = conflict
        let files = ConflictNames.files(of: conflict)
        let shown = conflict.versions.first { $0.isShown && $0.kind == .file }
        for (version, file) in zip(conflict.versions, files) {
            let content = content(of: version)
            if let content { items.append(Item(name: file, content: content)) }
            var base: [UInt8]?
            if let shown, !version.isShown, version.kind == .file,
                let found = try volume.base(of: shown.node, version.node)
            {
                let name = ConflictNames.base(
                    of: conflict.versions.count > 2 ? file : nil, in: conflict)
                base = name
                items.append(
                    Item(
                        name: name,
                        content: .bytes(found.node, size: found.size, modified: .epoch)))
            }
            names.append((content == nil ? nil : file, base))
        }
    }

    private func content(of version: ShareConflict.Version) -> Content? {
        switch version.kind {
        case .file: .bytes(version.node, size: version.size, modified: version.modified)
        case .symlink: .target(version.target)
        case .directory: path(of: version).map { .folder($0) }
        case .fifo, .socket, .characterDevice, .blockDevice: nil
        }
    }

    /// Where a version shows, from the root.
    func path(of version: ShareConflict.Version) -> [UInt8]? {
        let name = version.isShown ? conflict.path.last : version.shownName
        guard let name else { return nil }
        return Array((conflict.path.dropLast() + [name]).joined(separator: [0x2f]))
    }
}

extension ConflictReport {
    init(_ listing: ConflictListing) {
        let conflict = listing.conflict
        let folder =
            "\(ConflictFolder.path)/"
            + String(decoding: ConflictNames.folder(of: conflict.path), as: UTF8.self) + "/"
        func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }
        self.init(
            path: text(Array(conflict.path.joined(separator: [0x2f]))),
            kind: conflict.kind.rawValue, hidden: conflict.isHidden,
            versions: zip(conflict.versions, listing.names).map { version, names in
                Version(
                    id: version.id, device: version.device, own: version.isOwn,
                    time: version.time.text, kind: "\(version.kind)", size: version.size,
                    shown: version.isShown, path: listing.path(of: version).map(text),
                    file: names.file.map { folder + text($0) },
                    base: names.base.map { folder + text($0) }, reason: version.reason.rawValue,
                    words: version.reason.words)
            })
    }
}
