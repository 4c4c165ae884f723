import Base
import FileTree
import Testing
import TreeModel

/// The rows of the table about texts that merge, in a share whose settings say so.
@Suite struct TextMergeTableTests {
    private let later = Device.wall + 60_000
    private let text = "one\ntwo\nthree\nfour\nfive\n"

    private func meet(
        after setup: (Device) throws -> Void, _ halves: [(Device) throws -> Void]
    ) throws -> [Device] {
        let devices = try ["desk", "laptop", "phone"].prefix(halves.count).enumerated().map {
            try Device($1, strangers: $0 * 2)
        }
        for device in devices {
            for name in ["desk", "laptop", "phone"] { try device.know(name, as: name) }
        }
        try devices[0].allowMerging()
        try setup(devices[0])
        try converge(devices)
        for (device, half) in zip(devices, halves) { try half(device) }
        try check(devices)
        return devices
    }

    /// Brings devices together; all show the same, and what the model says.
    private func check(_ devices: [Device]) throws {
        try converge(devices)
        let names = Dictionary(uniqueKeysWithValues: devices.map { ($0.key, $0.name) })
        let logs = devices[0].logs.sorted { $0.key < $1.key }
            .map { (key: $0.key, blocks: $0.value) }
        let model = try NaiveTree(logs, names: names).picture()
        for device in devices {
            #expect(Picture.differences(try device.picture(), model) == [])
            #expect(device.tree.digest == devices[0].tree.digest)
            #expect(device.tree.totals == devices[0].tree.totals)
        }
    }

    private func changed(_ line: String, to new: String) -> String {
        text.replacing(line + "\n", with: new + "\n")
    }

    @Test func `1: writes apart are merged, and the next save succeeds both`() throws {
        let devices = try meet(
            after: { try $0.write("f.swift", text) },
            [
                { try $0.write("f.swift", changed("one", to: "1"), wall: later) },
                { try $0.write("f.swift", changed("five", to: "5"), wall: later + 1000) },
            ])
        let merged = "1\ntwo\nthree\nfour\n5\n"
        for device in devices {
            #expect(try device.paths() == ["f.swift"])
            #expect(try device.text("f.swift") == merged)
            let node = try device.node("f.swift")
            let attributes = try device.tree.attributes(of: node.id)
            #expect(attributes?.size == UInt64(merged.utf8.count))
            #expect(attributes?.modified.seconds == Int64((later + 1000) / 1000))
            #expect(try device.tree.content(of: node.id)?.versions.count == 2)
            #expect(device.tree.totals.conflicts == 0)
        }
        try devices[1].write("f.swift", merged + "six\n", wall: later)
        try check(devices)
        let object = try devices[0].node("f.swift").object
        #expect(try devices[0].storage.heads(of: object).count == 1)
        #expect(try devices[0].text("f.swift") == merged + "six\n")
    }

    @Test func `2: writes that overlap are not merged`() throws {
        let devices = try meet(
            after: { try $0.write("f.txt", text) },
            [
                { try $0.write("f.txt", changed("one", to: "1")) },
                { try $0.write("f.txt", changed("one", to: "eins"), wall: later) },
            ])
        #expect(try devices[0].paths() == ["f (conflict desk 2024-11-21).txt", "f.txt"])
        #expect(try devices[0].text("f.txt") == changed("one", to: "eins"))
    }

    @Test func `3: the same change is one, and what each did besides is merged`() throws {
        let devices = try meet(
            after: { try $0.write("f.c", text) },
            [
                { try $0.write("f.c", "ONE\ntwo\n3\nfour\nfive\n") },
                { try $0.write("f.c", "ONE\ntwo\nthree\nfour\n5\n", wall: later) },
            ])
        #expect(try devices[1].text("f.c") == "ONE\ntwo\n3\nfour\n5\n")
    }

    @Test(arguments: ["f.md", "f", "f.json"])
    func `4: blocks at one place are kept in order where lines stand for themselves`(
        _ name: String
    ) throws {
        let devices = try meet(
            after: { try $0.write(name, text) },
            [
                { try $0.write(name, text + "desk 1\ndesk 2\n", wall: later) },
                { try $0.write(name, text + "laptop\n") },
            ])
        if name == "f.json" {
            #expect(try devices[0].paths().count == 2)
        } else {
            #expect(try devices[0].paths() == [name])
            #expect(try devices[0].text(name) == text + "laptop\ndesk 1\ndesk 2\n")
        }
    }

    @Test func `4: the names a file has now decide`() throws {
        let devices = try meet(
            after: { try $0.write("f.json", text) },
            [
                { try $0.write("f.json", text + "desk\n") },
                { try $0.write("f.json", text + "laptop\n", wall: later) },
            ])
        #expect(try devices[0].paths().count == 2)
        try devices[0].rename("f.json", to: "f.md")
        try check(devices)
        #expect(try devices[1].paths() == ["f.md"])
        try devices[1].link("f.md", as: "g.json")
        try check(devices)
        #expect(devices[1].tree.totals.conflicts == 2)
    }

    @Test func `19: a save by rename is merged with a write elsewhere`() throws {
        // The author makes a version of the file, and removes the temporary one.
        let devices = try meet(
            after: { try $0.write("f.txt", text) },
            [
                { device in
                    try device.write(".f.tmp", changed("one", to: "1"))
                    try device.write("f.txt", changed("one", to: "1"))
                    try device.remove(".f.tmp")
                }, { try $0.write("f.txt", changed("four", to: "4"), wall: later) },
            ])
        #expect(try devices[0].paths() == ["f.txt"])
        #expect(try devices[0].text("f.txt") == "1\ntwo\nthree\n4\nfive\n")
    }

    /// What others did meanwhile, and what becomes of it when desk has changed the first line.
    private static let elsewhere: [(line: String, copies: Int)] = [("four", 0), ("one", 1)]

    @Test(arguments: [true, false])
    func `20: a backup by renaming, kept or not, and a write elsewhere`(_ isKept: Bool) throws {
        for (line, copies) in Self.elsewhere {
            let devices = try meet(
                after: { try $0.write("f.txt", text) },
                [
                    { device in
                        let old = try device.node("f.txt")
                        let versions = try device.tree.content(of: old.id)!.versions
                        try device.rename("f.txt", to: "f.txt~")
                        // The author's record: the file has its name back, the backup is a new one.
                        try device.rename("f.txt~", to: "f.txt")
                        try device.write("f.txt~", text)
                        try device.write(
                            old.object, changed("one", to: "1"), parents: versions)
                        if !isKept { try device.remove("f.txt~") }
                    }, { try $0.write("f.txt", changed(line, to: "!"), wall: later) },
                ])
            let shown = try devices[1].paths()
            #expect(shown.filter { $0.hasPrefix("f (conflict ") }.count == copies)
            #expect(
                shown.filter { !$0.hasPrefix("f (") } == ["f.txt"] + (isKept ? ["f.txt~"] : []))
            if isKept { #expect(try devices[1].text("f.txt~") == text) }
            #expect(
                try devices[1].text("f.txt")
                    == (copies == 0
                        ? "1\ntwo\nthree\n!\nfive\n" : "!\ntwo\nthree\nfour\nfive\n"))
        }
    }

    @Test func `21: a file removed and made anew by one program, and a write elsewhere`() throws {
        for (line, copies) in Self.elsewhere {
            let devices = try meet(
                after: { try $0.write("f.txt", text) },
                [
                    { device in
                        let old = try device.node("f.txt")
                        let versions = try device.tree.content(of: old.id)!.versions
                        try device.remove("f.txt")
                        #expect(!device.exists("f.txt"))
                        try device.author(
                            .place(
                                .init(
                                    .existing(old.entry!, from: .root), in: .root,
                                    named: Array("f.txt".utf8))), wall: Device.wall)
                        try device.write(
                            old.object, changed("one", to: "1"), parents: versions)
                    }, { try $0.write("f.txt", changed(line, to: "!"), wall: later) },
                ])
            #expect(try devices[0].paths().count == 1 + copies)
            #expect(
                try devices[0].text("f.txt")
                    == (copies == 0
                        ? "1\ntwo\nthree\n!\nfive\n" : "!\ntwo\nthree\nfour\nfive\n"))
        }
    }

    @Test func `28: a truncated file is a whole version`() throws {
        let devices = try meet(
            after: { try $0.write("f.txt", text) },
            [
                { try $0.write("f.txt", "") },
                { try $0.write("f.txt", changed("one", to: "1"), wall: later) },
            ])
        #expect(try devices[0].paths() == ["f (conflict desk 2024-11-21).txt", "f.txt"])
        #expect(try devices[0].text("f (conflict desk 2024-11-21).txt") == "")
        let others = try meet(
            after: { try $0.write("f.txt", text) },
            [
                { try $0.write("f.txt", "one\ntwo\n") },
                { try $0.write("f.txt", changed("one", to: "1"), wall: later) },
            ])
        #expect(try others[0].text("f.txt") == "1\ntwo\n")
    }

    @Test func `34: git's references are never merged, under whatever name`() throws {
        let devices = try meet(
            after: { device in
                try device.make(.directory, ".git")
                try device.write(".git/HEAD", "ref: refs/heads/old/a\n")
                try device.write(".git/packed-refs", text)
                try device.write(".git/config", text)
            },
            [
                { device in
                    try device.write(".git/HEAD", "ref: refs/heads/new/a\n")
                    try device.write(".git/packed-refs", text + "seven\n")
                    try device.write(".git/config", changed("one", to: "1"))
                },
                { device in
                    try device.write(".git/HEAD", "ref: refs/heads/old/b\n", wall: later)
                    try device.write(".git/packed-refs", text + "six\n", wall: later)
                    try device.write(".git/config", changed("five", to: "5"), wall: later)
                },
            ])
        for device in devices {
            #expect(
                try device.paths() == [".git/", ".git/HEAD", ".git/config", ".git/packed-refs"])
            #expect(try device.text(".git/HEAD") == "ref: refs/heads/old/b\n")
            #expect(try device.text(".git/packed-refs") == text + "six\n")
            #expect(try device.text(".git/config") == "1\ntwo\nthree\nfour\n5\n")
            #expect(try device.tree.conflicts(limit: 10).count == 2)
        }
        // It is the name that says so.
        try devices[0].rename(".git/packed-refs", to: "notes")
        try check(devices)
        #expect(try devices[1].text("notes") == text + "seven\nsix\n")
        try devices[1].rename("notes", to: "HEAD")
        try check(devices)
        #expect(try devices[0].text("HEAD") == text + "six\n")
        #expect(try devices[0].paths().contains("HEAD (conflict desk 2024-11-21)"))
    }

    @Test func `three heads are merged in order, whatever came first`() throws {
        let devices = try meet(
            after: { try $0.write("f.txt", text) },
            [
                { try $0.write("f.txt", text + "desk\n", wall: later) },
                { try $0.write("f.txt", text + "laptop\n") },
                { try $0.write("f.txt", changed("one", to: "1") + "phone\n", wall: later + 1000) },
            ])
        #expect(
            try devices[2].text("f.txt") == changed("one", to: "1") + "laptop\ndesk\nphone\n")
    }

    @Test func `a file that was never written counts as empty`() throws {
        let devices = try meet(
            after: { _ = try $0.make(.file, "log.txt") },
            [
                { try $0.write("log.txt", "desk\n") },
                { try $0.write("log.txt", "laptop\n", wall: later) },
            ])
        #expect(try devices[0].text("log.txt") == "desk\nlaptop\n")
    }

    @Test func `two people go on merging, round after round`() throws {
        let lines = (0..<30).map { "line \($0)" }
        let devices = try meet(
            after: { try $0.write("f.swift", lines.joined(separator: "\n") + "\n") },
            [{ _ in }, { _ in }])
        for round in 0..<12 {
            for (index, device) in devices.enumerated() {
                // Each in a part of their own, the same lines again and again.
                var mine = try device.text("f.swift").split(separator: "\n").map(String.init)
                mine[index * 20] = "round \(round) of \(device.name)"
                try device.save("f.swift", mine.joined(separator: "\n") + "\n", wall: later)
            }
            try check(devices)
            #expect(try devices[0].paths() == ["f.swift"], "round \(round)")
        }
    }

    @Test func `criss-cross: bases that disagree are a conflict`() throws {
        // Both merged the same two versions by hand, and differently, without recording what they saw.
        let devices = try meet(
            after: { try $0.write("f.txt", text) },
            [
                { try $0.write("f.txt", changed("one", to: "1")) },
                { try $0.write("f.txt", changed("five", to: "5"), wall: later) },
            ])
        try devices[0].write("f.txt", "uno\ntwo\nthree\nfour\n5\n", wall: later)
        try devices[1].write("f.txt", "1\ntwo\nthree\nfour\ncinque\n", wall: later)
        try check(devices)
        #expect(try devices[0].paths().count == 2)
    }

    @Test func `without the setting, and with rules from the future, nothing is merged`() throws {
        let devices = try meet(
            after: { try $0.write("f.txt", text) },
            [
                { try $0.write("f.txt", changed("one", to: "1")) },
                { try $0.write("f.txt", changed("five", to: "5"), wall: later) },
            ])
        for (rules, count) in [("2", 2), ("0", 2), ("", 2), ("soon", 2), ("1", 1)] {
            try devices[1].author(
                .set(.init(key: FileTree.mergeRulesSetting, value: Array(rules.utf8))), wall: later)
            try check(devices)
            #expect(try devices[0].paths().count == count, "rules \(rules)")
        }
    }

    @Test func `while bytes are missing the file shows a head, and nothing is lost`() throws {
        let devices = try ["a", "b"].map { try Device($0) }
        try devices[0].allowMerging()
        try devices[0].write("f.txt", text)
        try converge(devices)
        let (mine, theirs) = (changed("one", to: "1"), changed("five", to: "5"))
        try devices[0].write("f.txt", mine, wall: later)
        try devices[1].write("f.txt", theirs, wall: later + 1000)
        devices[0].missing = [Array(text.utf8)]
        try converge(devices)
        #expect(devices[0].tree.digest == devices[1].tree.digest)
        #expect(try devices[1].text("f.txt") == "1\ntwo\nthree\nfour\n5\n")
        #expect(try devices[0].text("f.txt") == theirs)
        #expect(try devices[0].paths() == ["f.txt"])
        // A save meanwhile succeeds what was shown; the other head stays.
        try devices[0].write("f.txt", theirs + "six\n", wall: later + 2000)
        try devices[0].reopen()
        try devices[0].seal()
        devices[0].missing = []
        try devices[0].answerQuestions()
        try check(devices)
        #expect(try devices[0].text("f.txt") == "1\ntwo\nthree\nfour\n5\nsix\n")
    }

    @Test func `a removal that had seen a merge holds, one that had not does not`() throws {
        let devices = try meet(
            after: { try $0.write("f.txt", text) },
            [
                { try $0.write("f.txt", changed("one", to: "1")) },
                { try $0.write("f.txt", changed("five", to: "5"), wall: later) }, { _ in },
            ])
        try devices[2].remove("f.txt")
        try devices[0].write("f.txt", text + "six\n", wall: later)
        try check(devices)
        #expect(try devices[0].text("f.txt") == text + "six\n")
        try devices[1].remove("f.txt")
        try check(devices)
        #expect(try devices[0].paths() == [])
    }

    @Test func `a conflict ends when an edit makes the heads merge`() throws {
        let devices = try meet(
            after: { try $0.write("f.txt", text) },
            [
                { try $0.write("f.txt", "1\ntwo\nthree\nfour\nfive\nsix\n") },
                { try $0.write("f.txt", changed("one", to: "eins"), wall: later) },
            ])
        #expect(devices[0].tree.totals.conflicts == 1)
        // Taking the other's word by hand.
        try devices[1].write("f.txt", changed("one", to: "1"), wall: later)
        try check(devices)
        #expect(try devices[0].paths() == ["f.txt"])
        #expect(try devices[0].text("f.txt") == "1\ntwo\nthree\nfour\nfive\nsix\n")
    }
}

extension Device {
    /// A save as the engine makes it: what was shown of several heads is recorded with it.
    func save(_ path: String, _ text: String, wall: UInt64) throws {
        let node = try node(path)
        let shown = try tree.content(of: node.id)!
        var parents = shown.versions
        if parents.count > 1 {
            let merge = String(decoding: shown.content, as: UTF8.self)
            parents = [try write(node.object, merge, parents: parents, wall: wall)]
        }
        try write(node.object, text, parents: parents, wall: wall)
    }
}
