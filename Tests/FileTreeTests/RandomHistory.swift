import Base
import FileTree

/// Random things that people and programs do on a device, and some that no good program would.
struct RandomHistory {
    var rng: SeededRandom
    var wall: UInt64 = Device.wall
    let names: [[UInt8]]
    /// Files that each device has made.
    private var handles: [String: [ObjectID]] = [:]

    static let plainNames = ["a", "b", "n.txt", "HEAD", "e"]
    static let oddNames = [".git", "db", "db-wal", "a (conflict x 2024-11-21)"]

    /// Whether texts are such that they may merge, and the share's settings say so now and then.
    let merges: Bool

    init(seed: UInt64, odd: Bool, merges: Bool = false) {
        self.merges = merges
        rng = SeededRandom(seed: seed)
        names = (Self.plainNames + (odd ? Self.oddNames : [])).map { Array($0.utf8) }
    }

    mutating func below(_ count: Int) -> Int { Int.random(in: 0..<count, using: &rng) }

    /// One step of one device; may author nothing.
    mutating func step(on device: Device) throws {
        wall += UInt64(below(3))
        let (nodes, directories) = try gather(device)
        if merges, below(25) == 0 {
            let rules = ["1", "1", "0", "2", "?"][below(5)]
            try device.author(
                .set(.init(key: FileTree.mergeRulesSetting, value: Array(rules.utf8))), wall: wall)
        }
        let directory = directories[below(directories.count)]
        let name = try someName(device, in: directory)
        switch below(24) {
        case 0..<4: try makeFile(device, name, in: directory)
        case 4..<7: try make(device, .directory, name, in: directory)
        case 7:
            try make(device, .symlink, name, in: directory, target: ["x", "y"][below(2)])
        case 8: try make(device, .fifo, name, in: directory)
        case 9..<13:
            guard let (node, from) = pick(nodes) else { return }
            try rename(device, node, from: from, to: directory, name)
        case 13..<16:
            guard let (node, from) = pick(nodes) else { return }
            try remove(device, node, from: from)
        case 16..<19:
            guard let (node, _) = pick(nodes.filter { $0.0.kind == .file }) else { return }
            try write(device, node)
        case 19:
            guard let (node, _) = pick(nodes.filter { $0.0.kind != .directory }) else { return }
            let link = Operation.Place(.new(node.object), in: directory, named: name)
            try device.author(.place(link), wall: wall)
        case 20..<22:
            guard let (node, _) = pick(nodes) else { return }
            try setSomething(device, node)
        default: try somethingOdd(device, nodes, directories)
        }
        if device.lastOperations > below(6) { try device.seal() }
    }

    /// One directory into another one, whichever: devices that do so apart make rings.
    mutating func moveDirectory(on device: Device) throws {
        wall += UInt64(below(3))
        let (nodes, directories) = try gather(device)
        guard let (node, from) = pick(nodes.filter { $0.0.kind == .directory }),
            let entry = node.entry, !node.isCopy
        else { return }
        let target = directories[below(directories.count)]
        let place = Operation.Place(
            .existing(entry, from: from), in: target, named: names[below(names.count)])
        try device.author(.place(place), wall: wall)
        if device.lastOperations > below(4) { try device.seal() }
    }

    private mutating func pick(_ nodes: [(Node, ObjectID)]) -> (Node, ObjectID)? {
        nodes.isEmpty ? nil : nodes[below(nodes.count)]
    }

    private mutating func gather(_ device: Device) throws -> ([(Node, ObjectID)], [ObjectID]) {
        var nodes: [(Node, ObjectID)] = []
        var directories: [ObjectID] = [.root]
        var index = 0
        while index < directories.count {
            for item in try device.tree.list(directories[index]) {
                guard let node = try device.tree.lookup(item.name, in: directories[index]) else {
                    continue
                }
                nodes.append((node, directories[index]))
                if item.kind == .directory { directories.append(item.node) }
            }
            index += 1
        }
        return (nodes, directories)
    }

    /// Mostly one of a few, so that devices collide; now and then one that shows already.
    private mutating func someName(_ device: Device, in directory: ObjectID) throws -> [UInt8] {
        let shown = try device.tree.list(directory)
        if below(6) == 0, !shown.isEmpty { return shown[below(shown.count)].name }
        return names[below(names.count)]
    }

    private mutating func make(
        _ device: Device, _ kind: ObjectKind, _ name: [UInt8], in directory: ObjectID,
        target: String = ""
    ) throws {
        let make = Operation.Make(
            kind: kind, mode: 0o644, uid: 1, gid: 1, created: Timestamp(seconds: Int64(below(9))),
            target: Array(target.utf8))
        guard let object = try device.author(.make(make), wall: wall) else { return }
        if kind == .file { handles[device.name, default: []].append(object) }
        let place = Operation.Place(.new(object), in: directory, named: name)
        try device.author(.place(place), wall: wall)
    }

    private mutating func makeFile(_ device: Device, _ name: [UInt8], in directory: ObjectID)
        throws
    {
        let id = try device.tree.lookup(name, in: directory)
        if let id, id.kind == .file, below(2) == 0 { return try write(device, id) }
        try make(device, .file, name, in: directory)
        if below(2) == 0, let node = try device.tree.lookup(name, in: directory),
            node.kind == .file
        {
            try write(device, node)
        }
    }

    private mutating func write(_ device: Device, _ node: Node) throws {
        var parents = try device.tree.content(of: node.id)?.versions ?? []
        if below(8) == 0 {
            let all = try device.tree.versions(of: node.object).map(\.id)
            parents = all.filter { _ in below(2) == 0 }
        }
        try device.write(
            node.object, try someText(device, parents), parents: parents, wall: wall)
    }

    /// Mostly an edit of what was there: of a few lines, so that some merge and some do not.
    private mutating func someText(_ device: Device, _ parents: [VersionID]) throws -> String {
        guard merges, below(6) > 0 else { return ["", "x", "y", "z"][below(4)] }
        let parent = try parents.first.flatMap { try device.storage.version($0) }
        var lines = String(decoding: parent?.content ?? [], as: UTF8.self)
            .split(separator: "\n").map(String.init)
        if lines.count < 4 { lines = (0..<6).map { "line \($0) of it" } }
        switch below(5) {
        case 0: lines.insert("new \(below(3))", at: below(lines.count + 1))
        case 1: lines.remove(at: below(lines.count))
        default: lines[below(lines.count)] = "line \(below(9)) of \(["it", "all"][below(2)])"
        }
        return lines.joined(separator: "\n") + "\n"
    }

    private mutating func rename(
        _ device: Device, _ node: Node, from: ObjectID, to directory: ObjectID, _ name: [UInt8]
    ) throws {
        guard !node.isCopy else { return }
        if let target = try device.tree.lookup(name, in: directory), target.id != node.id,
            below(2) == 0
        {
            try remove(device, target, from: directory)
        }
        for entry in try companions(device, node) {
            let place = Operation.Place(.existing(entry, from: from), in: directory, named: name)
            try device.author(.place(place), wall: wall)
        }
    }

    private mutating func remove(_ device: Device, _ node: Node, from: ObjectID) throws {
        if node.isCopy {
            guard let entry = node.entry else { return }
            let remove = Operation.Remove(entry, from: from, version: node.id)
            try device.author(.remove(remove), wall: wall)
            return
        }
        for entry in try companions(device, node) {
            try device.author(.remove(Operation.Remove(entry, from: from)), wall: wall)
        }
    }

    /// All that goes with a node, or sometimes the node alone.
    private mutating func companions(_ device: Device, _ node: Node) throws -> [EntryID] {
        let all = try device.companions(of: node)
        return below(6) == 0 ? Array(all.prefix(1)) : all
    }

    private mutating func setSomething(_ device: Device, _ node: Node) throws {
        switch below(4) {
        case 0:
            let name = Array("user.x".utf8)
            try device.author(
                .setXattr(.init(object: node.object, name: name, value: [UInt8(below(3))])),
                wall: wall)
        case 1:
            try device.author(
                .removeXattr(.init(object: node.object, name: Array("user.x".utf8))), wall: wall)
        case 2:
            let change = Operation.SetAttribute(
                object: node.object, mode: UInt16(below(0o1000)), gid: UInt32(below(3)))
            try device.author(.setAttribute(change), wall: wall)
        default:
            let change = Operation.SetAttribute(
                object: node.object, uid: UInt32(below(3)),
                modified: Timestamp(seconds: Int64(below(100))),
                accessed: Timestamp(seconds: Int64(below(100)), nanoseconds: 7))
            try device.author(.setAttribute(change), wall: wall)
        }
    }

    /// What a hostile or broken author would write.
    private mutating func somethingOdd(
        _ device: Device, _ nodes: [(Node, ObjectID)], _ directories: [ObjectID]
    ) throws {
        guard let (node, from) = pick(nodes), let (other, _) = pick(nodes) else { return }
        let name = names[below(names.count)]
        switch below(8) {
        case 0:
            // A second entry for whatever it is.
            let place = Operation.Place(.new(node.object), in: .root, named: name)
            try device.author(.place(place), wall: wall, anyway: true)
        case 1:
            // Into something that need not be a directory.
            guard let entry = node.entry else { return }
            let place = Operation.Place(
                .existing(entry, from: from), in: other.object, named: name)
            try device.author(.place(place), wall: wall, anyway: true)
        case 2:
            let write = Operation.Write(
                object: node.object, parents: [other.id], size: 3, modified: .epoch,
                content: Array("odd".utf8))
            try device.author(.write(write), wall: wall, anyway: true)
        case 3:
            // A new place for something that was removed.
            guard let entry = node.entry else { return }
            try device.author(
                .remove(Operation.Remove(entry, from: from)), wall: wall, anyway: true)
            let place = Operation.Place(.existing(entry, from: from), in: .root, named: name)
            try device.author(.place(place), wall: wall, anyway: true)
        case 4:
            // The file itself closed, or something that is no version of it.
            guard let entry = node.entry else { return }
            let versions = try device.tree.versions(of: node.object).map(\.id) + [other.id]
            let version = versions[below(versions.count)]
            try device.author(
                .remove(Operation.Remove(entry, from: from, version: version)), wall: wall,
                anyway: true)
        default:
            // Through a handle that may have outlived every name.
            guard let files = handles[device.name], !files.isEmpty else { return }
            let file = files[below(files.count)]
            let parents = try device.tree.content(of: file)?.versions ?? []
            try device.write(file, ["x", "y", "late"][below(3)], parents: parents, wall: wall)
        }
    }
}
