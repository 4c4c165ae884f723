import Base
import FileTree
import TreeModel
import Testing

/// The rows of the table of concurrent pairs: two devices part, each does its half, and they meet.
@Suite struct MergeTableTests {
    /// A minute later for whoever comes second.
    static let later = Device.wall + 60_000

    /// - Returns: two devices that have met again, the first of them having done `first` and the
    ///   second, a minute later, `second`.
    func meet(
        after setup: (Device) throws -> Void = { _ in }, _ first: (Device) throws -> Void,
        _ second: (Device) throws -> Void
    ) throws -> (Device, Device) {
        let a = try Device("a")
        let b = try Device("b", strangers: 2)
        for device in [a, b] {
            try device.know("a", as: "desk")
            try device.know("b", as: "laptop")
        }
        try setup(a)
        try converge([a, b])
        try first(a)
        try second(b)
        try converge([a, b])
        let paths = try a.paths()
        #expect(try b.paths() == paths)
        #expect(try a.picture() == b.picture())
        #expect(a.tree.digest == b.tree.digest)
        #expect(a.tree.totals == b.tree.totals)
        let logs = a.logs.sorted { $0.key < $1.key }.map { (key: $0.key, blocks: $0.value) }
        let model = try NaiveTree(logs, names: [a.key: "desk", b.key: "laptop"]).picture()
        #expect(Picture.differences(try a.picture(), model).isEmpty)
        return (a, b)
    }

    let later = Self.later

    // MARK: Contents

    @Test func `2: of two writes the later is the file, the earlier a copy`() throws {
        let (a, _) = try meet(
            after: { try $0.write("f.txt", "old") }, { try $0.write("f.txt", "one") },
            { try $0.write("f.txt", "two", wall: later) })
        #expect(try a.paths() == ["f (conflict desk 2024-11-21).txt", "f.txt"])
        #expect(try a.text("f.txt") == "two")
        #expect(try a.text("f (conflict desk 2024-11-21).txt") == "one")
        #expect(a.tree.totals.conflicts == 1)
        #expect(a.tree.totals.files == 1)
    }

    @Test func `3: two writes of equal bytes are one version`() throws {
        let (a, _) = try meet(
            after: { try $0.write("f", "old") }, { try $0.write("f", "same") },
            { try $0.write("f", "same", wall: later) })
        #expect(try a.paths() == ["f"])
        let shown = try a.tree.content(of: a.node("f").id)
        #expect(shown?.versions.count == 2)
        // The next save succeeds both.
        try a.write("f", "next")
        #expect(try a.tree.content(of: a.node("f").id)?.versions.count == 1)
    }

    @Test func `28: truncate and write are whole versions`() throws {
        let (a, _) = try meet(
            after: { try $0.write("f", "old") }, { try $0.write("f", "") },
            { try $0.write("f", "long", wall: later) })
        #expect(try a.text("f") == "long")
        #expect(try a.text("f (conflict desk 2024-11-21)") == "")
    }

    @Test func `5: a write beats a delete that had not seen it`() throws {
        for writesFirst in [true, false] {
            let write: (Device) throws -> Void = { try $0.write("f", "new", wall: later) }
            let delete: (Device) throws -> Void = { try $0.remove("f", wall: later + 1) }
            let (a, _) = try meet(
                after: { try $0.write("f", "old") }, writesFirst ? write : delete,
                writesFirst ? delete : write)
            #expect(try a.paths() == ["f"])
            #expect(try a.text("f") == "new")
        }
    }

    @Test func `6: deleted twice is gone`() throws {
        let (a, b) = try meet(
            after: { try $0.write("f", "old") }, { try $0.remove("f") },
            { try $0.remove("f", wall: later) })
        #expect(try a.paths() == [])
        #expect(a.tree.totals == TreeTotals())
        #expect(try b.tree.attributes(of: .root)?.links == 2)
    }

    @Test func `14: a file is renamed and written`() throws {
        let (a, _) = try meet(
            after: { try $0.write("f", "old") }, { try $0.rename("f", to: "g") },
            { try $0.write("f", "new", wall: later) })
        #expect(try a.paths() == ["g"])
        #expect(try a.text("g") == "new")
    }

    // MARK: Names

    @Test func `7: of two new files the first keeps the name`() throws {
        let (a, b) = try meet(
            { try $0.write("f.txt", "one") }, { try $0.write("f.txt", "two", wall: later) })
        #expect(try a.paths() == ["f (conflict laptop 2024-11-21).txt", "f.txt"])
        #expect(try a.text("f.txt") == "one")
        #expect(try b.text("f (conflict laptop 2024-11-21).txt") == "two")
        #expect(try !b.node("f (conflict laptop 2024-11-21).txt").isCopy)
    }

    @Test func `7: two new files with equal bytes are one until one changes`() throws {
        let (a, b) = try meet(
            { try $0.write("f", "same") }, { try $0.write("f", "same", wall: later) })
        #expect(try a.paths() == ["f"])
        let entry = try a.node("f").entry!
        let twins = try a.tree.twins(of: entry)
        #expect(twins.count == 1)
        #expect(try a.tree.twins(of: twins[0].id).isEmpty)
        // Whoever writes the one removes the other.
        try a.write("f", "new")
        for twin in twins {
            try a.author(.remove(.init(twin.id, from: .root)), wall: later)
        }
        try converge([a, b])
        #expect(try b.paths() == ["f"])
        #expect(try b.text("f") == "new")
    }

    @Test func `8: two new directories of one name are one`() throws {
        let (a, b) = try meet(
            { device in
                try device.make(.directory, "d")
                try device.make(.directory, "d/sub")
                try device.write("d/one", "1")
                try device.write("d/sub/x", "1")
            },
            { device in
                try device.make(.directory, "d", wall: later)
                try device.make(.directory, "d/sub", wall: later)
                try device.write("d/two", "2", wall: later)
                try device.write("d/sub/y", "2", wall: later)
            })
        #expect(
            try a.paths() == ["d/", "d/one", "d/sub/", "d/sub/x", "d/sub/y", "d/two"])
        let directory = try b.node("d")
        #expect(try b.tree.members(of: directory.object).count == 2)
        #expect(try b.tree.attributes(of: directory.id)?.links == 3)
        #expect(try b.tree.attributes(of: .root)?.links == 3)
        #expect(a.tree.totals.directories == 2)

        // It is renamed and removed as one.
        try b.rename("d", to: "e")
        try converge([a, b])
        #expect(
            try a.paths() == ["e/", "e/one", "e/sub/", "e/sub/x", "e/sub/y", "e/two"])
        try a.removeTree("e")
        try converge([a, b])
        #expect(try b.paths() == [])
    }

    @Test func `8: a node of the second directory still finds what is in the first`() throws {
        let (_, b) = try meet(
            { device in
                try device.make(.directory, "d")
                try device.write("d/one", "1")
            }, { try $0.make(.directory, "d", wall: later) })
        let members = try b.tree.members(of: b.node("d").object)
        let second = members[1].object
        #expect(try b.tree.lookup(Array("one".utf8), in: second) != nil)
        #expect(try b.tree.list(second).count == 1)
    }

    @Test func `9: a directory keeps the name, a file is a copy`() throws {
        let (a, _) = try meet(
            { try $0.write("n", "file") }, { try $0.make(.directory, "n", wall: later) })
        #expect(try a.paths() == ["n/", "n (conflict desk 2024-11-21)"])
    }

    @Test func `9: a directory beats a file, and that a symlink, whichever was first`() throws {
        let kinds: [ObjectKind] = [.directory, .file, .symlink]
        func make(_ kind: Int, _ wall: UInt64) -> (Device) throws -> Void {
            { try $0.make(kinds[kind], "n", target: kind == 2 ? "x" : "", wall: wall) }
        }
        for (first, second) in [(0, 1), (1, 0), (0, 2), (2, 0), (1, 2), (2, 1)] {
            let (a, _) = try meet(make(first, Device.wall), make(second, later))
            let holder = try a.node("n")
            #expect(holder.kind == kinds[min(first, second)])
            let loser = first < second ? "laptop" : "desk"
            #expect(
                try a.node("n (conflict \(loser) 2024-11-21)").kind == kinds[max(first, second)])
        }
    }

    @Test func `10: symlinks with one target are one, others are copies`() throws {
        let (a, _) = try meet(
            { device in
                try device.make(.symlink, "same", target: "x")
                try device.make(.symlink, "other", target: "x")
            },
            { device in
                try device.make(.symlink, "same", target: "x", wall: later)
                try device.make(.symlink, "other", target: "y", wall: later)
            })
        #expect(try a.paths() == ["other", "other (conflict laptop 2024-11-21)", "same"])
    }

    @Test func `11: of two renames of one thing the later holds`() throws {
        for kind in [ObjectKind.file, .directory] {
            let (a, _) = try meet(
                after: { try $0.make(kind, "x") }, { try $0.rename("x", to: "a") },
                { try $0.rename("x", to: "b", wall: later) })
            #expect(try a.paths().map { $0.prefix(1) } == ["b"])
        }
    }

    @Test func `12: of two renames to one name the first holds it`() throws {
        let (a, _) = try meet(
            after: { device in
                try device.write("x", "x")
                try device.write("y", "y")
                try device.make(.directory, "p")
                try device.make(.directory, "q")
            },
            { device in
                try device.rename("x", to: "n")
                try device.rename("p", to: "m")
            },
            { device in
                try device.rename("y", to: "n", wall: later)
                try device.rename("q", to: "m", wall: later)
            })
        let laptop = "(conflict laptop 2024-11-21)"
        #expect(try a.paths() == ["m/", "m \(laptop)/", "n", "n \(laptop)"])
        #expect(try a.text("n") == "x")
    }

    @Test func `22: renamed over on one side, edited on the other: both bytes remain`() throws {
        let (a, _) = try meet(
            after: { device in
                try device.write("f", "old")
                try device.write("g", "unrelated")
            }, { try $0.rename("g", to: "f") },
            { try $0.write("f", "edited", wall: later) })
        // The file had the name first.
        #expect(try a.text("f") == "edited")
        #expect(try a.text("f (conflict desk 2024-11-21)") == "unrelated")
    }

    @Test func `31: an edit of the copy makes a file of its own`() throws {
        let (a, b) = try meet(
            after: { try $0.write("f", "old") }, { try $0.write("f", "one") },
            { try $0.write("f", "two", wall: later) })
        let name = "f (conflict desk 2024-11-21)"
        let copy = try a.node(name)
        // In one block: a new file under the shown name, and the copy closed.
        try a.author(.remove(.init(copy.entry!, from: .root, version: copy.id)), wall: later)
        try a.write(name, "one, edited")
        try converge([a, b])
        #expect(try b.paths() == ["f", name])
        #expect(try b.text(name) == "one, edited")
        #expect(try !b.node(name).isCopy)
        #expect(b.tree.totals.conflicts == 0)
    }

    @Test func `30: a removed copy is gone for everybody, a save of the file keeps it`() throws {
        let (a, b) = try meet(
            after: { try $0.write("f", "old") }, { try $0.write("f", "one") },
            { try $0.write("f", "two", wall: later) })
        let name = "f (conflict desk 2024-11-21)"
        try b.write("f", "three", wall: later)
        try converge([a, b])
        #expect(try a.paths() == ["f", name])
        try b.remove(name)
        try converge([a, b])
        #expect(try a.paths() == ["f"])
        #expect(try a.text("f") == "three")
    }

    @Test func `30: copies closed on both sides leave the latest`() throws {
        let (a, b) = try meet(
            after: { try $0.write("f", "old") }, { try $0.write("f", "one") },
            { try $0.write("f", "two", wall: later) })
        for (device, text) in [(a, "one"), (b, "two")] {
            let entry = try device.node("f").entry!
            let versions = try device.tree.versions(of: device.node("f").object)
            let version = versions.first { $0.content == Array(text.utf8) }!
            try device.author(
                .remove(.init(entry, from: .root, version: version.id)), wall: later)
        }
        try converge([a, b])
        #expect(try a.paths() == ["f"])
        #expect(try a.text("f") == "two")
    }

    @Test func `34: nothing shows beside names in .git or of live databases`() throws {
        let paths = [".git/refs/main", "bare.git/packed-refs", "db", "db-wal"]
        let (a, b) = try meet(
            after: { device in
                try device.make(.directory, ".git")
                try device.make(.directory, ".git/refs")
                try device.write(".git/refs/main", "0")
                try device.make(.directory, "bare.git")
                try device.write("bare.git/packed-refs", "0")
                try device.write("db", "0")
                try device.write("db-wal", "0")
            },
            { device in
                for path in paths { try device.write(path, "1") }
            },
            { device in
                for path in paths { try device.write(path, "2", wall: later) }
            })
        #expect(
            try a.paths() == [
                ".git/", ".git/refs/", ".git/refs/main", "bare.git/", "bare.git/packed-refs", "db",
                "db-wal",
            ])
        #expect(try b.tree.conflicts(limit: 10).count == 4)
        // Once the database is closed its copy can show.
        try a.remove("db-wal")
        #expect(try a.paths().contains("db (conflict desk 2024-11-21)"))
    }

    // MARK: The tree

    @Test func `13: of moves into each other the earlier takes effect`() throws {
        let (a, _) = try meet(
            after: { device in
                try device.make(.directory, "x")
                try device.make(.directory, "y")
            }, { try $0.rename("x", to: "y/x") },
            { try $0.rename("y", to: "x/y", wall: later) })
        #expect(try a.paths() == ["y/", "y/x/"])
    }

    @Test func `13: a ring of three leaves the last move out`() throws {
        let devices = try ["a", "b", "c"].map { try Device($0) }
        for name in ["x", "y", "z"] { try devices[0].make(.directory, name) }
        try converge(devices)
        try devices[0].rename("x", to: "y/x")
        try devices[1].rename("y", to: "z/y", wall: later)
        try devices[2].rename("z", to: "x/z", wall: later + 60_000)
        try converge(devices)
        for device in devices {
            #expect(try device.paths() == ["z/", "z/y/", "z/y/x/"])
            #expect(device.tree.digest == devices[0].tree.digest)
        }
    }

    @Test func `13: a move gains effect when an earlier one arrives`() throws {
        // b moves y into x; c, which had not seen it, moved x away from under y before.
        let devices = try ["a", "b", "c"].map { try Device($0) }
        try devices[0].make(.directory, "y")
        try devices[0].make(.directory, "y/x")
        try converge(devices)
        let (y, x) = (try devices[1].node("y"), try devices[1].node("y/x"))
        let place = Operation.Place(
            .existing(y.entry!, from: .root), in: x.object, named: Array("y".utf8))
        try devices[1].author(.place(place), wall: later)
        #expect(try devices[1].paths() == ["y/", "y/x/"])
        try devices[2].rename("y/x", to: "x")
        try converge(devices)
        for device in devices { #expect(try device.paths() == ["x/", "x/y/"]) }
    }

    @Test func `15: renamed here, deleted there: it lives at the new place`() throws {
        for kind in [ObjectKind.file, .directory] {
            let (a, _) = try meet(
                after: { try $0.make(kind, "x") }, { try $0.rename("x", to: "b") },
                { try $0.remove("x", wall: later) })
            #expect(try a.paths().map { $0.prefix(1) } == ["b"])
        }
    }

    @Test func `16: what was made or written below a deleted tree brings back its ancestors`()
        throws
    {
        let (a, _) = try meet(
            after: { device in
                for path in ["r", "r/keep", "r/keep/deep", "r/gone"] {
                    try device.make(.directory, path)
                }
                try device.write("r/keep/deep/f", "old")
                try device.write("r/gone/g", "old")
                try device.write("r/h", "old")
            }, { try $0.removeTree("r") },
            { device in
                try device.write("r/keep/deep/f", "new", wall: later)
                try device.write("r/keep/made", "new", wall: later)
            })
        #expect(
            try a.paths() == ["r/", "r/keep/", "r/keep/deep/", "r/keep/deep/f", "r/keep/made"])
    }

    @Test func `17: a file moved out of a deleted tree, or into it, lives`() throws {
        let (a, _) = try meet(
            after: { device in
                try device.make(.directory, "d")
                try device.write("d/out", "out")
                try device.write("in", "in")
            }, { try $0.removeTree("d") },
            { device in
                try device.rename("d/out", to: "out", wall: later)
                try device.rename("in", to: "d/in", wall: later)
            })
        #expect(try a.paths() == ["d/", "d/in", "out"])
    }

    @Test func `18: what is made in a directory follows its rename`() throws {
        let (a, _) = try meet(
            after: { try $0.make(.directory, "d") }, { try $0.rename("d", to: "e") },
            { try $0.write("d/f", "new", wall: later) })
        #expect(try a.paths() == ["e/", "e/f"])
    }

    @Test func `23: a name moves to another object, its other links stay`() throws {
        let (a, b) = try meet(
            after: { device in
                try device.write("f", "old")
                try device.link("f", as: "link")
                try device.write("g", "new")
            }, { try $0.rename("g", to: "f") }, { _ in })
        #expect(try a.paths() == ["f", "link"])
        #expect(try b.text("f") == "new")
        #expect(try b.text("link") == "old")
        #expect(try b.tree.attributes(of: b.node("link").id)?.links == 1)
    }

    @Test func `24: an object lives while any name does`() throws {
        let (a, _) = try meet(
            after: { try $0.write("f", "bytes") }, { try $0.link("f", as: "g") },
            { try $0.remove("f", wall: later) })
        #expect(try a.paths() == ["g"])
        #expect(try a.text("g") == "bytes")
        #expect(try a.tree.attributes(of: a.node("g").id)?.links == 1)
    }

    @Test func `24: a write brings back every name whose removal had not seen it`() throws {
        let (a, _) = try meet(
            after: { device in
                try device.write("f", "old")
                try device.link("f", as: "g")
                try device.link("f", as: "h")
                try device.remove("h")
            }, { try $0.remove("f") }, { try $0.write("g", "new", wall: later) })
        #expect(try a.paths() == ["f", "g"])
        #expect(try a.text("f") == "new")
        #expect(try a.node("f").object == a.node("g").object)
    }

    @Test func `24: a write through one link does not bring back another`() throws {
        let (a, b) = try meet(
            after: { device in
                try device.write("f", "old")
                try device.link("f", as: "g")
                try device.remove("f")
            }, { try $0.write("g", "new") }, { _ in })
        #expect(try a.paths() == ["g"])
        #expect(try b.paths() == ["g"])
    }

    @Test func `a write by who had seen the removal brings nothing back`() throws {
        let (a, _) = try meet(
            after: { device in
                try device.write("f", "old")
                let node = try device.node("f")
                let parents = try device.tree.content(of: node.id)!.versions
                try device.remove("f")
                // A handle that outlived the name.
                try device.write(node.object, "late", parents: parents)
            }, { _ in }, { _ in })
        #expect(try a.paths() == [])
    }

    @Test func `a removal that the late writer had seen holds, whichever came first`() throws {
        var rng = SeededRandom(seed: 6)
        let devices = try ["a", "b", "c", "d", "e"].map { try Device($0) }
        try devices[0].write("f", "old")
        try converge(devices)
        let (a, b, c) = (devices[0], devices[1], devices[2])
        try a.remove("f")
        try b.remove("f")
        let file = try c.node("f").object
        let parents = try c.tree.content(of: file)!.versions
        try c.pull(from: b, using: &rng)
        try c.write(file, "late", parents: parents)
        for (reader, order) in [(devices[3], [a, b, c]), (devices[4], [b, c, a])] {
            for author in order { try reader.pull(from: author, using: &rng) }
            #expect(try reader.paths() == [])
        }
    }

    // MARK: The mount's own name

    @Test func `what has the mount's name in the root shows beside it, elsewhere as it is`() throws
    {
        let (a, _) = try meet(
            { device in
                try device.make(.directory, ".holdfast")
                // By now its name is another.
                try device.write(".holdfast (conflict desk 2024-11-21)/kept", "kept")
                try device.make(.directory, "d")
                try device.write("d/.holdfast", "plain")
            },
            { device in
                try device.make(.directory, ".holdfast", wall: later)
                let file = try device.make(.file, ".holdfast", wall: later)
                try device.write(file, "file", parents: [], wall: later)
            })
        #expect(
            try a.paths() == [
                ".holdfast (conflict desk 2024-11-21)/",
                ".holdfast (conflict desk 2024-11-21)/kept",
                ".holdfast (conflict laptop 2024-11-21)", "d/", "d/.holdfast",
            ])
        #expect(a.tree.totals.conflicts == 2)
        try a.rename(".holdfast (conflict laptop 2024-11-21)", to: "mine", wall: later)
        #expect(try a.text("mine") == "file")
        #expect(a.tree.totals.conflicts == 1)
    }
}
