import Base
import FileTree

/// All that a reader can see of a tree, with identities that mean the same on every device.
struct Picture: Equatable {
    struct Item: Equatable {
        var identity: String
        var kind: ObjectKind
        var mode: UInt16
        var uid: UInt32
        var gid: UInt32
        var size: UInt64
        var links: UInt64
        var modified: Timestamp
        var accessed: Timestamp
        var changed: Timestamp
        var target: [UInt8]
        var content: [UInt8]
        var xattrs: [[UInt8]: [UInt8]]
    }

    /// By path; a directory's ends in a slash.
    var items: [[UInt8]: Item] = [:]
    /// The paths that conflicts show under, or would if they showed.
    var conflicts: Set<[UInt8]> = []

    /// Where two pictures differ, for people.
    static func differences(_ left: Picture, _ right: Picture) -> [String] {
        var result: [String] = []
        for path in Set(left.items.keys).union(right.items.keys)
        where left.items[path] != right.items[path] {
            func text(_ item: Item?) -> String { item.map { "\($0)" } ?? "nothing" }
            let name = String(decoding: path, as: UTF8.self)
            result.append("\(name): \(text(left.items[path])) / \(text(right.items[path]))")
        }
        for path in left.conflicts.symmetricDifference(right.conflicts) {
            result.append("conflict \(String(decoding: path, as: UTF8.self))")
        }
        return result.sorted()
    }
}

extension Device {
    func picture() throws -> Picture {
        var picture = Picture()
        var paths: [ObjectID: [UInt8]] = [:]
        try draw(.root, path: Array("/".utf8), parent: .root, into: &picture, &paths)
        for row in try tree.conflicts(limit: .max) {
            // What lost its name in a `.git` directory does not show, nor what is in it.
            guard let path = paths[row.parent] else { continue }
            picture.conflicts.insert(path.dropFirst() + row.shownName)
        }
        return picture
    }

    private func draw(
        _ directory: ObjectID, path: [UInt8], parent: ObjectID, into picture: inout Picture,
        _ paths: inout [ObjectID: [UInt8]]
    ) throws {
        let attributes = try tree.attributes(of: directory)!
        precondition(attributes.parent == parent, "\(directory) is not in \(parent)")
        precondition(paths.updateValue(path, forKey: directory) == nil, "\(directory) twice")
        let key = directory == .root ? path : Array(path.dropFirst())
        picture.items[key] = try item(attributes)
        for listed in try tree.list(directory) {
            let node = try tree.lookup(listed.name, in: directory)
            precondition(node?.id == listed.node && node?.kind == listed.kind, "\(listed)")
            if listed.kind == .directory {
                try draw(
                    listed.node, path: path + listed.name + Array("/".utf8), parent: directory,
                    into: &picture, &paths)
            } else {
                let key = Array((path + listed.name).dropFirst())
                picture.items[key] = try item(tree.attributes(of: listed.node)!)
            }
        }
    }

    private func item(_ attributes: NodeAttributes) throws -> Picture.Item {
        let id = attributes.id
        var xattrs: [[UInt8]: [UInt8]] = [:]
        for name in try tree.xattrNames(of: id) { xattrs[name] = try tree.xattr(name, of: id) }
        let key = writers.key(of: id.writer)
        return Picture.Item(
            identity: "\(key).\(id.block).\(id.index)", kind: attributes.kind,
            mode: attributes.mode, uid: attributes.uid, gid: attributes.gid,
            size: attributes.size, links: attributes.links, modified: attributes.modified,
            accessed: attributes.accessed, changed: attributes.changed,
            target: attributes.kind == .symlink ? try tree.target(of: id)! : [],
            content: try tree.content(of: id)?.content ?? [], xattrs: xattrs)
    }
}
