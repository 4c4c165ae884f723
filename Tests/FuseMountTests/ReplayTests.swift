import Base
import Chunks
import Glibc
import Share
import Synchronization
import Testing

@testable import FuseMount

/// Programs that watch the mount, or have files open, hear of what other devices change.
@Suite(.enabled(if: canMount), .serialized)
struct ReplayTests {
    @Test(arguments: [true, false])
    func `watchers hear of each change once, in order`(writeBack: Bool) throws {
        let mount = try TestMount { $0.writeBack = writeBack }
        defer { mount.end() }
        let watcher = try Watcher(mount.path, in: mount)
        let volume = mount.volume
        try volume.makeRemotely("a", .inline([1, 2]))
        #expect(watcher.events() == ["create a", "modify a", "close a"])
        volume.writeRemotely("a", .inline([3]))
        #expect(watcher.events() == ["attrib a", "modify a", "close a"])
        try volume.setModeRemotely("a", 0o640)
        #expect(watcher.events() == ["attrib a"])
        #expect(try status(mount.at("a")).st_mode & 0o777 == 0o640)
        try volume.renameRemotely("a", "b")
        #expect(watcher.events() == ["from a #1", "to b #1"])
        try volume.makeDirectoryRemotely("d")
        try volume.linkRemotely("s", target: "b")
        #expect(watcher.events() == ["create d/", "create s"])
        let inner = try Watcher(mount.at("d"), in: mount)
        try volume.renameRemotely("b", "d/c")
        #expect(watcher.events() == ["from b #2"])
        #expect(inner.events() == ["to c #1"])
        #expect(try readFile(mount.at("d/c")) == [3])
        try volume.renameRemotely("d", "e")
        #expect(watcher.events() == ["from d/ #3", "to e/ #3"])
        #expect(inner.events() == ["move self"])
        try volume.renameRemotely("e/c", "f")
        #expect(watcher.events() == ["to f #4"])
        #expect(inner.events() == ["from c #2"])
        try volume.makeDirectoryRemotely("e/i")
        try volume.removeDirectoryRemotely("e/i")
        try volume.removeDirectoryRemotely("e")
        try volume.removeRemotely("f")
        try volume.removeRemotely("s")
        // What came and went before anybody could be told was never there.
        #expect(watcher.events() == ["delete e/", "delete f", "delete s"])
        #expect(inner.events().last == "delete self")
        #expect(try names(mount.path) == [])
        // What programs do here is told once, by the kernel.
        try writeFile(mount.at("own"), [1])
        try check(rename(mount.at("own"), mount.at("own2")))
        try check(unlink(mount.at("own2")))
        let own = watcher.events()
        #expect(own.filter { $0.hasPrefix("create") } == ["create own"])
        #expect(own.suffix(3) == ["from own #5", "to own2 #5", "delete own2"])
    }

    @Test
    func `a file's own watcher hears of writing and removal`() throws {
        let mount = try TestMount()
        defer { mount.end() }
        try writeFile(mount.at("a"), [1, 2, 3])
        mount.settle()
        let watcher = try Watcher(mount.at("a"), in: mount)
        mount.volume.writeRemotely("a", .inline([4]))
        #expect(watcher.events() == ["attrib", "modify", "close"])
        #expect(try status(mount.at("a")).st_size == 1)
        try mount.volume.removeRemotely("a")
        #expect(watcher.events() == ["attrib", "delete self"])
    }

    @Test
    func `what programs looked up before they heard of it is told all the same`() throws {
        let mount = try TestMount()
        defer { mount.end() }
        let watcher = try Watcher(mount.path, in: mount)
        let volume = mount.volume
        let request = MakeRequest(kind: .file, mode: 0o644, uid: 0, gid: 0)
        let made = try volume.make(Array("new".utf8), in: .root, request)
        _ = try status(mount.at("new"))
        volume.notify([.entry(directory: .root, name: Array("new".utf8), before: nil)])
        #expect(watcher.events() == ["create new"])
        let shown = ViewChange.Shown(node: made.node, kind: .file)
        _ = try volume.rename(
            Array("new".utf8), in: .root, to: Array("newer".utf8), in: .root, .replace)
        _ = try? status(mount.at("newer"))
        volume.notify([
            .entry(directory: .root, name: Array("new".utf8), before: shown),
            .entry(directory: .root, name: Array("newer".utf8), before: nil),
        ])
        #expect(watcher.events() == ["from new #1", "to newer #1"])
        try volume.unlink(Array("newer".utf8), in: .root)
        volume.notify([.entry(directory: .root, name: Array("newer".utf8), before: shown)])
        #expect(watcher.events() == ["delete newer"])
    }

    @Test
    func `things that change places, and one that takes another's`() throws {
        let mount = try TestMount()
        defer { mount.end() }
        try writeFile(mount.at("a"), [1])
        try check(mkdir(mount.at("d"), 0o755))
        let watcher = try Watcher(mount.path, in: mount)
        try mount.volume.renameRemotely("a", "d", .exchange)
        #expect(Set(watcher.events()) == ["from a #1", "to d #1", "from d/ #2", "to a/ #2"])
        #expect(try readFile(mount.at("d")) == [1])
        #expect(try names(mount.at("a")) == [])
        try check(mkdir(mount.at("over"), 0o755))
        _ = watcher.events()
        let victim = try Watcher(mount.at("over"), in: mount)
        try mount.volume.renameRemotely("a", "over")
        #expect(watcher.events() == ["from a/ #3", "to over/ #3"])
        #expect(victim.events() == ["attrib/", "delete self"])
    }

    @Test
    func `readers of an open file see another device's version, with its size`() throws {
        let mount = try TestMount()
        defer { mount.end() }
        let old = randomBytes(200_000, seed: 1)
        try writeFile(mount.at("a"), old)
        mount.settle()
        let file = try check(open(mount.at("a"), O_RDONLY))
        defer { close(file) }
        let other = try check(open(mount.at("a"), Int32(0o10000000)))  // O_PATH
        defer { close(other) }
        let map = mmap(nil, 200_000, PROT_READ, MAP_SHARED, file, 0)!
        defer { munmap(map, 200_000) }
        #expect(map.load(fromByteOffset: 100, as: UInt8.self) == old[100])
        let time = try status(file).st_mtim.tv_nsec
        mount.volume.writeRemotely("a", .inline([UInt8](repeating: 7, count: 1000)))
        mount.eventually("the size shrinks") { (try? status(file).st_size) == 1000 }
        #expect(try status(other).st_size == 1000)
        #expect(try readAll(file) == [UInt8](repeating: 7, count: 1000))
        mount.eventually("the map shows it") { map.load(fromByteOffset: 100, as: UInt8.self) == 7 }
        #expect(map.load(fromByteOffset: 1000, as: UInt8.self) == 0)
        mount.eventually("the time is the other's") {
            (try? status(file).st_mtim.tv_nsec) != time
        }
        mount.volume.writeRemotely("a", .inline([UInt8](repeating: 8, count: 3000)))
        mount.eventually("the size grows") { (try? status(file).st_size) == 3000 }
        #expect(try readAll(file) == [UInt8](repeating: 8, count: 3000))
        let node = try #require(mount.volume.node("a"))
        let shown = try status(file).st_mtim
        #expect(FuseMountTests.time(shown) == (try mount.volume.attributes(of: node).modified))
    }

    @Test
    func `a time that was set while a file was open shows when it is closed`() throws {
        let mount = try TestMount()
        defer { mount.end() }
        try writeFile(mount.at("a"), [1])
        mount.settle()
        let file = try check(open(mount.at("a"), O_RDWR))
        let node = try #require(mount.volume.node("a"))
        let time = Timestamp(seconds: 1_000_000_000, nanoseconds: 5)
        _ = try mount.volume.setAttributes(of: node, to: AttributeChange(modified: time))
        mount.volume.notify([.attributes(node)])
        while !mount.mount.awaitShown() {}
        close(file)
        mount.eventually("the time shows") {
            (try? status(mount.at("a"))).map { FuseMountTests.time($0.st_mtim) } == time
        }
        #expect(try mount.volume.attributes(of: node).modified == time)
    }

    @Test
    func `bytes that come before their folder's new name show once that does`() throws {
        let mount = try TestMount()
        defer { mount.end() }
        try check(mkdir(mount.at("d"), 0o755))
        try writeFile(mount.at("d/f"), [1])
        mount.settle()
        let file = try check(open(mount.at("d/f"), O_RDONLY))
        defer { close(file) }
        // The kernel knows that there is no such name.
        #expect(access(mount.at("e"), F_OK) != 0)
        let volume = mount.volume
        let folder = ViewChange.Shown(node: try #require(volume.node("d")), kind: .directory)
        _ = try volume.rename(
            Array("d".utf8), in: .root, to: Array("e".utf8), in: .root, .replace)
        volume.writeRemotely("e/f", .inline([1, 2, 3]))
        volume.notify([
            .entry(directory: .root, name: Array("d".utf8), before: folder),
            .entry(directory: .root, name: Array("e".utf8), before: nil), .derived(.root),
        ])
        mount.eventually("the size is the new one") { (try? status(file).st_size) == 3 }
        #expect(try readAll(file) == [1, 2, 3])
        #expect(try readFile(mount.at("e/f")) == [1, 2, 3])
    }

    @Test
    func `bytes that the kernel has not sent keep a file as it is`() throws {
        let mount = try TestMount()
        defer { mount.end() }
        try writeFile(mount.at("a"), [1, 1, 1])
        mount.settle()
        let parents = mount.volume.state.withLock { state in
            state.node("a").flatMap { state.objects[$0]?.versions }
        }
        let file = try check(open(mount.at("a"), O_RDWR))
        let map = mmap(nil, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0)!
        // Nobody but the kernel knows of this.
        map.storeBytes(of: 9, toByteOffset: 1, as: UInt8.self)
        mount.volume.writeRemotely("a", .inline([2, 2, 2, 2, 2]))
        sleepMilliseconds(200)
        #expect(try readAll(file) == [1, 9, 1])
        #expect(try status(file).st_size == 3)
        munmap(map, 4096)
        close(file)
        mount.eventually("it is saved") { mount.volume.saves.last?.content == .inline([1, 9, 1]) }
        #expect(mount.volume.saves.last?.parents == parents)
    }

    @Test
    func `who writes to a file hears of no error when another device renames or removes it`()
        throws
    {
        let mount = try TestMount()
        defer { mount.end() }
        let watcher = try Watcher(mount.path, in: mount)
        for (round, change) in ["rename", "remove"].enumerated() {
            let name = "f\(round)"
            let file = try check(open(mount.at(name), O_RDWR | O_CREAT, 0o644))
            try writeAll(file, [1])
            try check(fsync(file))
            _ = watcher.events()
            // The kernel has a time of it to send, and does so before the name goes.
            try writeAll(file, [2])
            if change == "rename" {
                try mount.volume.renameRemotely(name, "g")
            } else {
                try mount.volume.removeRemotely(name)
            }
            #expect(!watcher.events().isEmpty)
            try writeAll(file, [3])
            #expect(fsync(file) == 0, "\(change): \(errno)")
            #expect(close(file) == 0, "\(change): \(errno)")
        }
        #expect(try readFile(mount.at("g")) == [1, 2, 3])
    }

    /// Nobody who removes a file can have seen what is in no version yet.
    @Test(arguments: [true, false])
    func `what was written before a file is removed elsewhere brings it back`(writeBack: Bool)
        throws
    {
        let mount = try TestMount { $0.writeBack = writeBack }
        defer { mount.end() }
        let bytes = randomBytes(100_000, seed: 9)
        for name in ["f", "g"] { try writeFile(mount.at(name), bytes) }
        mount.settle()
        let (f, g) = (mount.volume.node("f"), mount.volume.node("g"))
        let written = try check(open(mount.at("f"), O_RDWR))
        let idle = try check(open(mount.at("g"), O_RDWR))
        // Where the kernel writes back, it alone has this.
        try pwriteAll(written, [1], at: 0)
        for name in ["f", "g"] { try mount.volume.removeRemotely(name) }
        mount.eventually("the removal shows") { access(mount.at("g"), F_OK) != 0 }
        sleepMilliseconds(200)
        for file in [written, idle] {
            try pwriteAll(file, [2], at: 1)
            try check(fsync(file))
        }
        #expect(mount.volume.staged.allSatisfy { $0.node == f })
        for file in [written, idle] { close(file) }
        mount.settle()
        let saves = mount.volume.saves.suffix(from: 2)
        #expect(saves.filter { $0.node == f }.map(\.bringsBack).contains(true))
        #expect(saves.filter { $0.node == g }.allSatisfy { !$0.bringsBack })
    }

    @Test
    func `tail -f shows lines that another device appended`() throws {
        let mount = try TestMount()
        defer { mount.end() }
        try writeFile(mount.at("log"), Array("one\n".utf8))
        mount.settle()
        let output = "/tmp/holdfast-tail-\(getpid())"
        defer { unlink(output) }
        let script = "exec tail -f \"$0\" > \"$1\""
        let tail = try Program(["/bin/sh", "-c", script, mount.at("log"), output])
        mount.eventually("it has read") { (try? readFile(output)) == Array("one\n".utf8) }
        mount.volume.writeRemotely("log", .inline(Array("one\ntwo\n".utf8)))
        mount.eventually("it goes on") { (try? readFile(output)) == Array("one\ntwo\n".utf8) }
        let file = try check(open(mount.at("log"), O_WRONLY | O_APPEND))
        try writeAll(file, Array("three\n".utf8))
        close(file)
        mount.eventually("and sees what comes after") {
            (try? readFile(output)) == Array("one\ntwo\nthree\n".utf8)
        }
        tail.send(SIGTERM)
        _ = tail.wait()
    }

    @Test
    func `a program that runs keeps its bytes until it ends`() throws {
        let mount = try TestMount()
        defer { mount.end() }
        try writeFile(mount.at("p"), try readFile("/bin/sleep"))
        chmod(mount.at("p"), 0o755)
        mount.settle()
        let program = try Program([mount.at("p"), "30"])
        sleepMilliseconds(100)
        mount.volume.writeRemotely("p", .inline([1, 2, 3]))
        sleepMilliseconds(300)
        #expect(try readFile(mount.at("p")) == (try readFile("/bin/sleep")))
        program.send(SIGTERM)
        #expect(program.wait() == -SIGTERM)
        mount.eventually("the new bytes show") { (try? readFile(mount.at("p"))) == [1, 2, 3] }
    }

    @Test
    func `more than anybody wants to hear of is shown all the same`() throws {
        let mount = try TestMount()
        defer { mount.end() }
        try writeFile(mount.at("known"), [1])
        mount.settle()
        let watcher = try Watcher(mount.path, in: mount)
        var changes: [ViewChange] = [.derived(.root)]
        let request = MakeRequest(kind: .file, mode: 0o644, uid: 0, gid: 0)
        for index in 0...MountLimits.replayedChangesMax {
            let name = Array("f\(index)".utf8)
            _ = try mount.volume.make(name, in: .root, request)
            changes.append(.entry(directory: .root, name: name, before: nil))
        }
        let node = try #require(mount.volume.node("known"))
        mount.volume.state.withLock { state in
            state.objects[node]?.content = .inline([1, 2])
            state.objects[node]?.versions = [9999]
            state.objects[node]?.attributes.size = 2
        }
        changes.append(.content(node))
        mount.volume.notify(changes)
        #expect(watcher.events().isEmpty)
        #expect(try names(mount.path).count == MountLimits.replayedChangesMax + 2)
        #expect(try readFile(mount.at("known")) == [1, 2])
    }

    @Test
    func `a name that goes while a long listing is read does not stay`() throws {
        let mount = try TestMount()
        defer { mount.end() }
        let all = (0..<2000).map { "a name of some length \($0)" }
        for name in all { try mount.volume.makeRemotely(name, .inline([1])) }
        let stream = try #require(opendir(mount.path))
        defer { closedir(stream) }
        var last = ""
        func next() -> Bool {
            guard let entry = readdir(stream) else { return false }
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name.hasPrefix("a name") {
                last = name
                _ = access(mount.at(name), F_OK)
            }
            return true
        }
        for _ in 0..<50 { _ = next() }
        let listed = try mount.volume.list(.root).map { String(decoding: $0.name, as: UTF8.self) }
        let old = try #require(listed.last)
        try mount.volume.renameRemotely(old, "new")
        mount.eventually("the new name is there") { access(mount.at("new"), F_OK) == 0 }
        mount.eventually("the old name is gone") { access(mount.at(old), F_OK) != 0 }
        while next() {}
        #expect(last == old)
        #expect(access(mount.at(old), F_OK) != 0)
        #expect(try names(mount.path).count == all.count)
    }

    @Test
    func `two that change places all the while show as they are`() throws {
        let mount = try TestMount()
        defer { mount.end() }
        let isOver = Latch()
        let ended = Latch()
        let path = mount.path
        onThread {
            while !isOver.wait(until: Clock.now()) {
                for name in ["one", "two"] { _ = access("\(path)/\(name)", F_OK) }
            }
            ended.open()
        }
        try mount.volume.makeRemotely("one", .inline([1]))
        try mount.volume.makeRemotely("two", .inline([2]))
        for round in 0..<300 {
            try mount.volume.renameRemotely("one", "two", .exchange)
            while !mount.mount.awaitShown() {}
            let names = round % 2 == 0 ? ["two", "one"] : ["one", "two"]
            #expect(try readFile(mount.at(names[0])) == [1])
            #expect(try readFile(mount.at(names[1])) == [2])
        }
        isOver.open()
        ended.wait()
    }

    @Test
    func `a folder that moves on before its first move is told stays alive for who is in it`()
        throws
    {
        let mount = try TestMount()
        defer { mount.end() }
        let volume = mount.volume
        try check(mkdir(mount.at("a"), 0o755))
        try writeFile(mount.at("a/f"), [1])
        mount.settle()
        let inside = try check(open(mount.at("a"), O_RDONLY | O_DIRECTORY))
        defer { close(inside) }
        let shown = ViewChange.Shown(node: try #require(volume.node("a")), kind: .directory)
        for (from, to) in [("a", "b"), ("b", "c")] {
            _ = try volume.rename(
                Array(from.utf8), in: .root, to: Array(to.utf8), in: .root, .replace)
        }
        for (from, to) in [("a", "b"), ("b", "c")] {
            volume.notify([
                .entry(directory: .root, name: Array(from.utf8), before: shown),
                .entry(directory: .root, name: Array(to.utf8), before: nil), .derived(.root),
            ])
        }
        while !mount.mount.awaitShown() {}
        #expect(try names(mount.path) == ["c"])
        #expect(try names(mount.at("c")) == ["f"])
        try writeFile(mount.at("c/g"), [2])
        #expect(try names(mount.at("c")) == ["f", "g"])
    }

    @Test(arguments: [false, true])
    func `a folder that was taken away and shows again is one to work in`(isReplaced: Bool) throws {
        let mount = try TestMount()
        defer { mount.end() }
        let volume = mount.volume
        try check(mkdir(mount.at("a"), 0o755))
        let node = try #require(volume.node("a"))
        let inside = try check(open(mount.at("a"), O_RDONLY | O_DIRECTORY))
        defer { close(inside) }
        if isReplaced {
            try check(mkdir(mount.at("other"), 0o755))
            try volume.renameRemotely("other", "a")
        } else {
            try volume.removeDirectoryRemotely("a")
        }
        mount.eventually("it is gone") { (try? status(inside).st_nlink) == 0 }
        // Somebody has made something in it who had not heard of that.
        volume.state.withLock { state in
            state.objects[node]?.attributes.links = 2
            state.add(Array("b".utf8), node, to: .root)
        }
        volume.notify([.entry(directory: .root, name: Array("b".utf8), before: nil)])
        while !mount.mount.awaitShown() {}
        try writeFile(mount.at("b/f"), [1])
        #expect(try names(mount.at("b")) == ["f"])
    }

    @Test
    func `who removes or renames what another device has just replaced does so to that`() throws {
        let mount = try TestMount()
        defer { mount.end() }
        let volume = mount.volume
        func rename(_ name: String, _ other: String) throws {
            _ = try volume.rename(
                Array(name.utf8), in: .root, to: Array(other.utf8), in: .root, .replace)
        }
        func tell(_ name: String, _ other: String, _ shown: ViewChange.Shown) {
            volume.notify([
                .entry(directory: .root, name: Array(name.utf8), before: shown),
                .entry(directory: .root, name: Array(other.utf8), before: nil), .derived(.root),
            ])
            while !mount.mount.awaitShown() {}
        }
        try check(mkdir(mount.at("d"), 0o755))
        try writeFile(mount.at("f"), [1])
        mount.settle()
        let folder = ViewChange.Shown(node: try #require(volume.node("d")), kind: .directory)
        let file = ViewChange.Shown(node: try #require(volume.node("f")), kind: .file)
        let inside = try check(open(mount.at("d"), O_RDONLY | O_DIRECTORY))
        defer { close(inside) }
        // The kernel has not heard of it yet.
        try rename("d", "e")
        try rename("f", "g")
        _ = try volume.make(
            Array("d".utf8), in: .root,
            MakeRequest(kind: .directory, mode: 0o755, uid: 0, gid: 0))
        let other = try volume.make(
            Array("f".utf8), in: .root, MakeRequest(kind: .file, mode: 0o644, uid: 0, gid: 0))
        try check(rmdir(mount.at("d")))
        try check(Glibc.rename(mount.at("f"), mount.at("h")))
        #expect(volume.node("h") == other.node)
        tell("d", "e", folder)
        tell("f", "g", file)
        try writeFile(mount.at("e/new"), [2])
        #expect(try names(mount.at("e")) == ["new"])
        #expect(try readFile(mount.at("g")) == [1])
        #expect(try readFile(mount.at("h")) == [])
        #expect(try names(mount.path) == ["e", "g", "h"])
    }

    @Test
    func `a mount that is taken away does not wait for what is to be told`() throws {
        let mount = try TestMount()
        _ = try names(mount.path)
        let request = MakeRequest(kind: .file, mode: 0o644, uid: 0, gid: 0)
        for index in 0..<5000 {
            let name = Array("f\(index)".utf8)
            _ = try mount.volume.make(name, in: .root, request)
            mount.volume.notify([.entry(directory: .root, name: name, before: nil)])
        }
        let start = Clock.now()
        mount.end()
        #expect(Clock.now() - start < .seconds(5))
    }
}
