import Base
import FileTree

/// What programs do with files, as the author of operations would record it.
extension Device {
    static let wall: UInt64 = 1_732_147_200_000  // 2024-11-21

    func directory(_ path: String) throws -> ObjectID {
        var current = ObjectID.root
        for part in path.split(separator: "/") {
            guard let node = try tree.lookup(Array(part.utf8), in: current) else {
                throw Missing(path: path)
            }
            current = node.object
        }
        return current
    }

    func node(_ path: String) throws -> Node {
        let (directory, name) = try split(path)
        guard let node = try tree.lookup(name, in: directory) else { throw Missing(path: path) }
        return node
    }

    func exists(_ path: String) -> Bool { (try? node(path)) != nil }

    private func split(_ path: String) throws -> (ObjectID, [UInt8]) {
        let parts = path.split(separator: "/")
        let parent = try directory(parts.dropLast().joined(separator: "/"))
        return (parent, Array(parts.last!.utf8))
    }

    struct Missing: Error { var path: String }

    // MARK: Changes

    /// As the founder of a share does.
    func allowMerging() throws {
        try author(
            .set(.init(key: FileTree.mergeRulesSetting, value: Array("1".utf8))),
            wall: Device.wall)
    }

    @discardableResult
    func make(
        _ kind: ObjectKind, _ path: String, target: String = "", wall: UInt64 = Device.wall
    ) throws -> ObjectID {
        let (parent, name) = try split(path)
        let make = Operation.Make(
            kind: kind, mode: kind == .directory ? 0o755 : 0o644, uid: 1000, gid: 1000,
            created: Timestamp(seconds: Int64(wall / 1000)), target: Array(target.utf8))
        let object = try author(.make(make), wall: wall)!
        try author(.place(Operation.Place(.new(object), in: parent, named: name)), wall: wall)
        return object
    }

    @discardableResult
    func write(_ path: String, _ text: String, wall: UInt64 = Device.wall) throws -> VersionID {
        if !exists(path) { try make(.file, path, wall: wall) }
        let node = try node(path)
        let parents = try tree.content(of: node.id)!.versions
        return try write(node.object, text, parents: parents, wall: wall)
    }

    @discardableResult
    func write(
        _ object: ObjectID, _ text: String, parents: [VersionID], wall: UInt64 = Device.wall
    ) throws -> VersionID {
        let write = Operation.Write(
            object: object, parents: parents, size: UInt64(text.utf8.count),
            modified: Timestamp(seconds: Int64(wall / 1000)), content: Array(text.utf8))
        return try author(.write(write), wall: wall)!
    }

    func remove(_ path: String, wall: UInt64 = Device.wall) throws {
        let (parent, _) = try split(path)
        let node = try node(path)
        if node.isCopy {
            for version in try tree.content(of: node.id)!.versions {
                let remove = Operation.Remove(node.entry!, from: parent, version: version)
                try author(.remove(remove), wall: wall)
            }
            return
        }
        for entry in try companions(of: node) {
            try author(.remove(Operation.Remove(entry, from: parent)), wall: wall)
        }
    }

    func removeTree(_ path: String, wall: UInt64 = Device.wall) throws {
        let node = try node(path)
        if node.kind == .directory {
            for child in try tree.list(node.id) {
                try removeTree(path + "/" + String(decoding: child.name, as: UTF8.self), wall: wall)
            }
        }
        try remove(path, wall: wall)
    }

    func rename(_ path: String, to newPath: String, wall: UInt64 = Device.wall) throws {
        let (from, _) = try split(path)
        let (parent, name) = try split(newPath)
        let moved = try node(path)
        if exists(newPath), try node(newPath).id != moved.id { try remove(newPath, wall: wall) }
        for entry in try companions(of: moved) {
            let place = Operation.Place(.existing(entry, from: from), in: parent, named: name)
            try author(.place(place), wall: wall)
        }
    }

    func link(_ path: String, as newPath: String, wall: UInt64 = Device.wall) throws {
        let (parent, name) = try split(newPath)
        let object = try node(path).object
        try author(.place(Operation.Place(.new(object), in: parent, named: name)), wall: wall)
    }

    /// The entries that go where this node goes.
    func companions(of node: Node) throws -> [EntryID] {
        if node.kind == .directory { return try tree.members(of: node.object).map(\.id) }
        guard let entry = node.entry else { return [] }
        return [entry] + (try tree.twins(of: entry).map(\.id))
    }

    // MARK: Looking

    func text(_ path: String) throws -> String {
        String(decoding: try tree.content(of: node(path).id)!.content, as: UTF8.self)
    }

    /// Every path, a directory's with a slash at the end.
    func paths(_ directory: ObjectID = .root, prefix: String = "") throws -> [String] {
        var result: [String] = []
        for item in try tree.list(directory) {
            let path = prefix + String(decoding: item.name, as: UTF8.self)
            if item.kind == .directory {
                result.append(path + "/")
                result += try paths(item.node, prefix: path + "/")
            } else {
                result.append(path)
            }
        }
        return result
    }
}

/// Brings all devices to the same set of blocks.
func converge(_ devices: [Device], seed: UInt64 = 1) throws {
    var rng = SeededRandom(seed: seed)
    guard let first = devices.first else { return }
    for other in devices.dropFirst() { try first.pull(from: other, using: &rng) }
    for other in devices.dropFirst() { try other.pull(from: first, using: &rng) }
}
