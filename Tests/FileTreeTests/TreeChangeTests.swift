import Base
import FileTree
import Testing

/// A cache that keeps all it was ever told, as a kernel does, and forgets only what changes name: what
/// it still has must be true.
@Suite struct TreeChangeTests {
    private struct Cache {
        struct Name: Hashable {
            var directory: ObjectID
            var name: [UInt8]
        }
        var names: [Name: Node?] = [:]
        var attributes: [OperationID: NodeAttributes] = [:]
        var lists: [ObjectID: [ListedName]] = [:]
        var contents: [OperationID: ShownContent?] = [:]
        /// Asked for everywhere, so that names that are missing are known to be.
        var wanted: Set<[UInt8]> = []

        mutating func forget(_ changes: [TreeChange]) {
            for change in changes {
                switch change {
                case .entry(let directory, let name, _):
                    let node = names.removeValue(forKey: Name(directory: directory, name: name))
                    if case .some(.some(let node)) = node { forgetNames(in: node.id) }
                case .attributes(let id), .derived(let id):
                    attributes[id] = nil
                    lists[id] = nil
                case .content(let id): contents[id] = nil
                }
            }
        }

        /// What is below a name goes with it, as in the kernel's cache of names.
        private mutating func forgetNames(in directory: OperationID) {
            for (key, node) in names where key.directory == directory {
                names[key] = nil
                if let node { forgetNames(in: node.id) }
            }
        }

        func check(_ tree: FileTree, _ comment: String) throws {
            for (key, node) in names {
                let name = String(decoding: key.name, as: UTF8.self)
                let now = try tree.lookup(key.name, in: key.directory)
                #expect(now?.id == node?.id, "\(comment): \(name) in \(key.directory)")
            }
            for (id, known) in attributes {
                // A copy that no longer shows has nobody to tell.
                if try tree.node(id)!.isCopy, try !shows(id, tree) { continue }
                var now = try tree.attributes(of: id)
                now?.parent = known.parent
                #expect(now == known, "\(comment): \(id)")
            }
            for (id, known) in lists {
                #expect(try tree.list(id) == known, "\(comment): list of \(id)")
            }
            for (id, known) in contents {
                let now = try tree.content(of: id)
                #expect(now?.content == known?.content, "\(comment): content of \(id)")
            }
        }

        private func shows(_ version: VersionID, _ tree: FileTree) throws -> Bool {
            try tree.conflicts(limit: .max).contains { $0.node == version }
        }

        mutating func fill(_ tree: FileTree) throws {
            var directories: [ObjectID] = [.root]
            while let directory = directories.popLast() {
                let list = try tree.list(directory)
                lists[directory] = list
                attributes[directory] = try tree.attributes(of: directory)
                wanted.formUnion(list.map(\.name))
                for name in wanted {
                    let key = Name(directory: directory, name: name)
                    names[key] = .some(try tree.lookup(name, in: directory))
                }
                for item in list {
                    if item.kind == .directory { directories.append(item.node) }
                    attributes[item.node] = try tree.attributes(of: item.node)
                    contents[item.node] = .some(try tree.content(of: item.node))
                }
            }
        }
    }

    private final class Kernel {
        var cache = Cache()
    }

    @Test(arguments: 0..<(ConvergenceTests.rounds ?? 12))
    func `changes name all that changed`(_ seed: Int) throws {
        var history = RandomHistory(seed: UInt64(seed), odd: false)
        let devices = try (0..<3).map { try Device("device \($0)", strangers: $0) }
        for device in devices {
            let kernel = Kernel()
            device.observe = { device, changes in
                kernel.cache.forget(changes)
                try kernel.cache.check(device.tree, "seed \(seed) \(device.name)")
                try kernel.cache.fill(device.tree)
            }
        }
        for step in 0..<80 {
            let device = devices[history.below(3)]
            try history.step(on: device)
            if history.below(5) == 0 {
                let other = devices[history.below(3)]
                if other !== device { try device.pull(from: other, using: &history.rng) }
            }
            if history.below(20) == 0 {
                try device.know("device \(history.below(3))", as: "name \(step)")
            }
        }
    }
}
