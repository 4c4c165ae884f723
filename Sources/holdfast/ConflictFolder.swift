import Base
import FuseMount
import Host
import Share

/// `.holdfast/conflicts`: a folder for each conflict, with every version readable.
struct ConflictFolder: VirtualDirectory {
    /// Where it is, below the mount point.
    static let path = ".holdfast/conflicts"

    private let volume: ShareVolume

    init(_ volume: ShareVolume) { self.volume = volume }

    func node(named name: [UInt8]) throws(VolumeError) -> VirtualNode {
        if let path = ConflictNames.path(ofFolder: name),
            let conflict = try volume.conflict(at: path), conflict.path == path,
            ConflictNames.folder(of: path) == name
        {
            return node(conflict)
        }
        // A name that does not tell its path.
        let found = try volume.conflicts().first { ConflictNames.folder(of: $0.path) == name }
        guard let found else { throw .notFound }
        return node(found)
    }

    private func node(_ conflict: ShareConflict) -> VirtualNode {
        VirtualNode(
            .directory(ConflictVersions(volume, path: conflict.path)), mode: 0o500,
            modified: conflict.versions.map(\.time).max())
    }

    func names() throws(VolumeError) -> [VirtualName] {
        try volume.conflicts().map { VirtualName(ConflictNames.folder(of: $0.path), .directory) }
    }
}

/// One conflict's folder: a file for each version, named for its device and day, what they come from, and
/// `about`, which tells the story.
private struct ConflictVersions: VirtualDirectory {
    private let volume: ShareVolume
    private let path: [[UInt8]]

    init(_ volume: ShareVolume, path: [[UInt8]]) {
        self.volume = volume
        self.path = path
    }

    /// As it is now: between two looks the conflict may have been settled.
    private func folder() throws(VolumeError) -> FixedFolder {
        guard let conflict = try volume.conflict(at: path), conflict.path == path else {
            throw .notFound
        }
        let listing = try ConflictListing(conflict, volume)
        var nodes = listing.items.map { item in (item.name, node(item, of: conflict)) }
        let about = Array(ConflictText.about(ConflictReport(listing)).utf8)
        nodes.append((Array("about".utf8), VirtualNode(.text { about }, mode: 0o400)))
        return FixedFolder(nodes)
    }

    private func node(_ item: ConflictListing.Item, of conflict: ShareConflict) -> VirtualNode {
        switch item.content {
        case .bytes(let node, let size, let modified):
            VirtualNode(
                .content(size: size) { [volume] () throws(VolumeError) in
                    try volume.openContent(of: node)
                }, identity: node.rawValue, mode: 0o400, modified: modified)
        case .target(let target):
            VirtualNode(.text { target + [UInt8(ascii: "\n")] }, mode: 0o400)
        case .folder(let path):
            // Up to the mount point and down again.
            VirtualNode(.link(Array("../../../".utf8) + path))
        }
    }

    func node(named name: [UInt8]) throws(VolumeError) -> VirtualNode {
        try folder().node(named: name)
    }

    func names() throws(VolumeError) -> [VirtualName] { try folder().names() }
}
