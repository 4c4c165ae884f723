import Base
import FileTree
import TreeModel

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
