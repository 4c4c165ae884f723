import Base
import Chunks
import Glibc
import Share
import Synchronization
import Testing

@testable import FuseMount

/// What programs here do while the kernel has not heard yet of what other devices did.
@Suite(.enabled(if: canMount), .serialized)
struct OutdatedKernelTests {
    private func exchange(_ one: String, _ other: String) throws {
        try check(renameat2(AT_FDCWD, one, AT_FDCWD, other, 2))
    }

    /// A change of names that nobody is told of yet.
    private func rename(
        _ name: String, _ other: String, _ mode: RenameMode = .replace, in volume: FakeVolume
    ) throws {
        _ = try volume.rename(
            Array(name.utf8), in: .root, to: Array(other.utf8), in: .root, mode, succeeding: nil)
    }

    @Test(arguments: [[1, 2], []] as [[UInt8]])
    func `the time that the kernel sends after a link is none that a program set`(
        _ bytes: [UInt8]
    ) throws {
        let mount = try TestMount()
        defer { mount.end() }
        try writeFile(mount.at("a"), bytes)
        mount.settle()
        let node = try #require(mount.volume.node("a"))
        let written = Timestamp(seconds: 2_000_000_000, nanoseconds: 7)
        mount.volume.state.withLock { state in
            state.lastVersion += 1
            state.objects[node]?.content = .inline([3, 4])
            state.objects[node]?.versions = [state.lastVersion]
            state.objects[node]?.attributes.modified = written
        }
        try check(link(mount.at("a"), mount.at("b")))
        // With the close the kernel sends what it has of a file.
        close(try check(open(mount.at("a"), O_RDONLY)))
        #expect(try mount.volume.attributes(of: node).modified == written)
        mount.volume.notify([.content(node), .derived(node)])
        while !mount.mount.awaitShown() {}
        for name in ["a", "b"] { #expect(time(try status(mount.at(name)).st_mtim) == written) }
        // A program that sets a time and leaves the other alone is heard.
        let early = timespec(tv_sec: 1_000_000_000, tv_nsec: 5)
        let kept = timespec(tv_sec: 0, tv_nsec: 0x3fff_fffe)  // UTIME_OMIT
        try check(utimensat(AT_FDCWD, mount.at("a"), [kept, early], 0))
        #expect(try mount.volume.attributes(of: node).modified == time(early))
    }

    @Test
    func `a time that is shown late is not that of before a write`() throws {
        let mount = try TestMount()
        defer { mount.end() }
        try writeFile(mount.at("a"), [1])
        mount.settle()
        let path = mount.at("a")
        let early = timespec(tv_sec: 1_000_000_000, tv_nsec: 5)
        try check(utimensat(AT_FDCWD, path, [early, early], 0))
        mount.volume.state.withLock { state in
            state.afterReplayedAttributes = {
                try? writeFile(path, [2], O_APPEND)
                mount.settle()
            }
        }
        try mount.volume.setModeRemotely("a", 0o600)
        while !mount.mount.awaitShown() {}
        #expect(try readFile(path) == [1, 2])
        let node = try #require(mount.volume.node("a"))
        let modified = try mount.volume.attributes(of: node).modified
        #expect(modified > time(early))
        #expect(time(try status(path).st_mtim) == modified)
    }

    @Test
    func `a name that a program takes away while a long listing is read does not stay`() throws {
        let mount = try TestMount()
        defer { mount.end() }
        let all = (0..<2000).map { "a name of some length \($0)" }
        for name in all { try mount.volume.makeRemotely(name, .inline([1])) }
        let stream = try #require(opendir(mount.path))
        defer { closedir(stream) }
        func next() -> Bool {
            guard let entry = readdir(stream) else { return false }
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            // Who looks at what is listed gets it with the listing.
            if name.count > 2, access(mount.at(name), F_OK) == 0 { last = name }
            return true
        }
        var last = ""
        for _ in 0..<50 { _ = next() }
        let listed = try mount.volume.list(.root).map { String(decoding: $0.name, as: UTF8.self) }
        let (moved, removed) = (listed[listed.count - 1], listed[listed.count - 2])
        try check(Glibc.rename(mount.at(moved), mount.at("new")))
        try check(unlink(mount.at(removed)))
        while next() {}
        #expect(last == listed[listed.count - 3])
        #expect(access(mount.at(moved), F_OK) != 0)
        #expect(access(mount.at(removed), F_OK) != 0)
        #expect(try readFile(mount.at("new")) == [1])
        #expect(try names(mount.path).count == all.count - 1)
    }

    @Test(arguments: ["exchange", "rename", "rmdir"], [true, false])
    func `who takes away what has just changed places takes what stands there`(
        _ call: String, areFolders: Bool
    ) throws {
        guard call != "rmdir" || areFolders else { return }
        let mount = try TestMount()
        defer { mount.end() }
        let volume = mount.volume
        var open: [Int32] = []
        for name in ["d", "e", "f"] {
            if areFolders {
                try check(mkdir(mount.at(name), 0o755))
                if call != "rmdir" { try check(mkdir(mount.at("\(name)/in \(name)"), 0o755)) }
            } else {
                try writeFile(mount.at(name), Array(name.utf8))
            }
            open.append(try check(Glibc.open(mount.at(name), O_RDONLY)))
        }
        defer { for file in open { close(file) } }
        mount.settle()
        let changes = ["d", "e"].map { name in
            ViewChange.entry(
                directory: .root, name: Array(name.utf8),
                before: volume.node(name).map {
                    ViewChange.Shown(node: $0, kind: areFolders ? .directory : .file)
                })
        }
        // The kernel knows both, and has not heard of it.
        try rename("d", "e", .exchange, in: volume)
        switch call {
        case "exchange": try exchange(mount.at("d"), mount.at("f"))
        case "rename": try check(Glibc.rename(mount.at("d"), mount.at("g")))
        default: try check(rmdir(mount.at("d")))
        }
        volume.notify(changes + [.derived(.root)])
        while !mount.mount.awaitShown() {}
        let listed = try volume.list(.root)
        #expect(try names(mount.path) == listed.map { String(decoding: $0.name, as: UTF8.self) })
        for item in listed {
            let path = mount.at(String(decoding: item.name, as: UTF8.self))
            #expect(try status(path).st_ino == item.number.rawValue)
            guard areFolders else { continue }
            let held = try volume.list(item.node).map { String(decoding: $0.name, as: UTF8.self) }
            #expect(try names(path) == held)
            try check(mkdir(path + "/new", 0o755))
        }
    }

    @Test
    func `no program hears that what it renames is another all the time`() throws {
        let mount = try TestMount()
        defer { mount.end() }
        let volume = mount.volume
        let count = Atomic(0)
        let request = MakeRequest(kind: .directory, mode: 0o755, uid: 0, gid: 0)
        try check(mkdir(mount.at("d"), 0o755))
        volume.state.withLock { state in
            state.afterLookup = { name in
                guard name == Array("d".utf8), count.load(ordering: .relaxed) < 20 else { return }
                let number = count.wrappingAdd(1, ordering: .relaxed).newValue
                try? rename("d", "old \(number)", in: volume)
                _ = try? volume.make(name, in: .root, request)
            }
        }
        try check(Glibc.rename(mount.at("d"), mount.at("g")))
        #expect(count.load(ordering: .relaxed) > 3)
        volume.state.withLock { $0.afterLookup = nil }
        while !mount.mount.awaitShown() {}
        for name in ["d", "g"] {
            let node = volume.node(name)
            #expect((try? status(mount.at(name))).map { UInt64($0.st_ino) } == node?.rawValue)
        }
    }

    @Test
    func `what comes to stand under a name that a program took away is told`() throws {
        let mount = try TestMount()
        defer { mount.end() }
        let volume = mount.volume
        for name in ["a", "a (conflict)"] { try check(mkdir(mount.at(name), 0o755)) }
        let shown = ViewChange.Shown(
            node: try #require(volume.node("a (conflict)")), kind: .directory)
        let watcher = try Watcher(mount.path, in: mount)
        volume.state.withLock { state in
            state.afterRename = {
                try? rename("a (conflict)", "a", in: volume)
                // The caller's own names are not told of.
                volume.notify([
                    .entry(directory: .root, name: Array("a (conflict)".utf8), before: shown)
                ])
            }
        }
        try check(Glibc.rename(mount.at("a"), mount.at("b")))
        let events = Set(watcher.events())
        #expect(events == ["from a/ #1", "to b/ #1", "delete a (conflict)/", "create a/"])
        #expect(try names(mount.path) == ["a", "b"])
        try writeFile(mount.at("a/f"), [1])
    }

    /// The kernel calls again for ESTALE, once.
    @Test(arguments: ["chmod", "mkdir", "rmdir", "rename"], [1, 2, 3])
    func `what other devices take away again and again is not there`(
        _ call: String, times: Int
    ) throws {
        let mount = try TestMount()
        defer { mount.end() }
        try check(mkdir(mount.at("d"), 0o755))
        try check(mkdir(mount.at("d/e"), 0o755))
        mount.volume.state.withLock { $0.stale = times }
        let result: Int32 =
            switch call {
            case "chmod": chmod(mount.at("d/e"), 0o700)
            case "mkdir": mkdir(mount.at("d/f"), 0o700)
            case "rmdir": rmdir(mount.at("d/e"))
            default: Glibc.rename(mount.at("d/e"), mount.at("d/g"))
            }
        let code = errno
        #expect(result == (times == 1 ? 0 : -1))
        if times > 1 { #expect(code == ENOENT) }
        // The next call is another.
        mount.volume.state.withLock { $0.stale = 1 }
        try check(chmod(mount.at("d"), 0o700))
    }

    @Test
    func `who has a file open may change it though it is gone elsewhere`() throws {
        let mount = try TestMount()
        defer { mount.end() }
        try writeFile(mount.at("a"), [1, 2])
        mount.settle()
        let file = try check(open(mount.at("a"), O_RDWR))
        defer { close(file) }
        var status = stat()
        try check(fstat(file, &status))
        mount.volume.state.withLock { $0.stale = 2 }
        try check(fchmod(file, 0o640))
        let early = timespec(tv_sec: 1_000_000_000, tv_nsec: 5)
        try check(futimens(file, [early, early]))
        #expect(mount.volume.state.withLock(\.stale) == 0)
    }

    @Test(arguments: [true, false])
    func `who is refused for one name and then for another hears that it is not there`(
        _ isLookupFirst: Bool
    ) throws {
        let mount = try TestMount()
        defer { mount.end() }
        try check(mkdir(mount.at("d"), 0o755))
        try check(mkdir(mount.at("d/e"), 0o755))
        mount.volume.state.withLock { state in
            state.stale = 1
            if isLookupFirst {
                state.staleLookups = 1
            } else {
                // The kernel asks about a name that it has, and then as for a new one.
                state.laterStaleLookups = 2
            }
        }
        #expect(Glibc.rename(mount.at("d/e"), mount.at("d/g")) == -1)
        #expect(errno == ENOENT)
        #expect(mount.volume.state.withLock { $0.stale + $0.staleLookups } == 0)
        try check(Glibc.rename(mount.at("d/e"), mount.at("d/g")))
    }
}
