package import Base
package import FileTree

/// All that a reader can see of a tree, with identities that mean the same on every device.
package struct Picture: Equatable {
    package struct Item: Equatable {
        package var identity: String
        package var kind: ObjectKind
        package var mode: UInt16
        package var uid: UInt32
        package var gid: UInt32
        package var size: UInt64
        package var links: UInt64
        package var modified: Timestamp
        package var accessed: Timestamp
        package var changed: Timestamp
        package var target: [UInt8]
        package var content: [UInt8]
        package var xattrs: [[UInt8]: [UInt8]]

        package init(
            identity: String, kind: ObjectKind, mode: UInt16, uid: UInt32, gid: UInt32,
            size: UInt64, links: UInt64, modified: Timestamp, accessed: Timestamp,
            changed: Timestamp, target: [UInt8], content: [UInt8], xattrs: [[UInt8]: [UInt8]]
        ) {
            self.identity = identity
            self.kind = kind
            self.mode = mode
            self.uid = uid
            self.gid = gid
            self.size = size
            self.links = links
            self.modified = modified
            self.accessed = accessed
            self.changed = changed
            self.target = target
            self.content = content
            self.xattrs = xattrs
        }
    }

    /// By path; a directory's ends in a slash.
    package var items: [[UInt8]: Item] = [:]
    /// The paths that conflicts show under, or would if they showed.
    package var conflicts: Set<[UInt8]> = []

    package init() {}

    /// Where two pictures differ, for people.
    package static func differences(_ left: Picture, _ right: Picture) -> [String] {
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
