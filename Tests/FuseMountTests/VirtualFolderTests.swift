import Base
import Chunks
import Glibc
import Share
import Synchronization
import Testing

@testable import FuseMount

/// A folder of the mount's own, in memory.
private final class FakeFolder: VirtualDirectory {
    let nodes: Mutex<[String: VirtualNode]>

    init(_ nodes: [String: VirtualNode]) { self.nodes = Mutex(nodes) }

    func node(named name: [UInt8]) throws(VolumeError) -> VirtualNode {
        let node = nodes.withLock { $0[String(decoding: name, as: UTF8.self)] }
        guard let node else { throw .notFound }
        return node
    }

    func names() throws(VolumeError) -> [VirtualName] {
        nodes.withLock { nodes in
            nodes.keys.sorted().map {
                VirtualName(Array($0.utf8), nodes[$0]!.kind, identity: nodes[$0]!.identity)
            }
        }
    }
}

/// What a mount shows of itself, and how programs that do not know of it get along.
@Suite(.enabled(if: canMount), .serialized)
struct VirtualFolderTests {
    /// Counts the openings of its text.
    private final class Counter: Sendable {
        let count = Mutex(0)
        func next() -> Int {
            count.withLock { count in
                count += 1
                return count
            }
        }
    }

    private func mounted(
        _ nodes: [String: VirtualNode], volume: FakeVolume? = nil,
        _ adjust: (inout MountOptions) -> Void = { _ in }
    ) throws -> (TestMount, FakeFolder) {
        let folder = FakeFolder(nodes)
        return (try TestMount(volume: volume, virtual: folder, adjust), folder)
    }

    private func text(_ text: String) -> VirtualNode { VirtualNode(.text { Array(text.utf8) }) }

    private func read(_ path: String) throws -> String {
        String(decoding: try readFile(path), as: UTF8.self)
    }

    private func shell(_ script: String, in folder: String) throws -> Int32 {
        try Program(["/bin/sh", "-euc", "cd \"$0\"; " + script, folder]).wait()
    }

    @Test func `the folder is reached by name and listed nowhere`() throws {
        let (mount, _) = try mounted(["status": text("well\n")])
        defer { mount.end() }
        try writeFile(mount.at("a"), [1])
        #expect(try names(mount.path) == ["a"])
        #expect(try names(mount.at(".holdfast")) == ["status"])
        #expect(try read(mount.at(".holdfast/status")) == "well\n")
        #expect(try read(mount.at(".holdfast/../.holdfast/./status")) == "well\n")
        let folder = try status(mount.at(".holdfast"))
        #expect(folder.st_mode == S_IFDIR | 0o555)
        #expect(folder.st_uid == geteuid())
        let file = try status(mount.at(".holdfast/status"))
        #expect(file.st_mode == S_IFREG | 0o444)
        #expect(file.st_ino != folder.st_ino)
        #expect(code { _ = try status(mount.at(".holdfast/nothing")) } == ENOENT)
        // In any other place the name is one like others.
        try check(mkdir(mount.at("d"), 0o755))
        try check(mkdir(mount.at("d/.holdfast"), 0o755))
        #expect(try names(mount.at("d")) == [".holdfast"])
    }

    @Test func `without a folder of its own the mount has no such name`() throws {
        let mount = try TestMount()
        defer { mount.end() }
        #expect(code { _ = try status(mount.at(".holdfast")) } == ENOENT)
        try check(mkdir(mount.at(".holdfast"), 0o755))
        #expect(try names(mount.path) == [".holdfast"])
    }

    @Test func `a text is made for each opening and stays the same until it is closed`() throws {
        let counter = Counter()
        let (mount, _) = try mounted([
            "count": VirtualNode(
                .text { Array("\(counter.next()) \(String(repeating: "x", count: 200_000))".utf8) })
        ])
        defer { mount.end() }
        let path = mount.at(".holdfast/count")
        let first = try check(open(path, O_RDONLY))
        defer { close(first) }
        let bytes = try readAll(first)
        #expect(bytes.count == 200_002)
        #expect(bytes.first == UInt8(ascii: "1"))
        #expect(try readFile(path).first == UInt8(ascii: "2"))
        #expect(try readAll(first) == bytes)
        #expect(
            try shell(
                "cp .holdfast/count copied; test $(stat -c %s copied) = 200002", in: mount.path)
                == 0)
        #expect(try readFile(mount.at("copied")).first == UInt8(ascii: "3"))
    }

    @Test func `stored content shows its size and is read, sought and mapped like a file`() throws {
        let chunks = FakeChunks()
        let bytes = randomBytes(300_000, seed: 7)
        var builder = ContentBuilder(keys: testKeys, storage: chunks)
        let content = try builder.build(
            from: FunctionSource(size: UInt64(bytes.count)) { offset, buffer in
                let part = bytes[Int(offset)...].prefix(buffer.count)
                buffer.copyBytes(from: part)
                return part.count
            })
        chunks.hideAll()
        let opened = OpenedContent(versions: [1], content: content, modified: .epoch)
        let (mount, folder) = try mounted(
            [
                "old": VirtualNode(
                    .content(size: 300_000) { opened }, identity: 1, mode: 0o640,
                    modified: Timestamp(seconds: 7, nanoseconds: 8))
            ], volume: FakeVolume(chunks: chunks))
        defer { mount.end() }
        let path = mount.at(".holdfast/old")
        let facts = try status(path)
        #expect(facts.st_size == 300_000)
        #expect(facts.st_mode & 0o7777 == 0o440)
        #expect(time(facts.st_mtim) == Timestamp(seconds: 7, nanoseconds: 8))
        // Its chunks are fetched first.
        #expect(try readFile(path) == bytes)
        let file = try check(open(path, O_RDONLY))
        defer { close(file) }
        #expect(lseek(file, 1000, 3) == 1000)
        #expect(lseek(file, 1000, 4) == 300_000)
        let map = mmap(nil, 4096, PROT_READ, MAP_SHARED, file, 0)
        #expect(map != MAP_FAILED)
        #expect(Array(UnsafeRawBufferPointer(start: map, count: 4096)) == Array(bytes[..<4096]))
        munmap(map, 4096)
        #expect(
            try shell("cmp .holdfast/old .holdfast/old; cp -a .holdfast/old kept", in: mount.path)
                == 0)
        #expect(try readFile(mount.at("kept")) == bytes)
        // Other bytes under the same name are another file.
        let other = OpenedContent(versions: [2], content: .inline([9, 9]), modified: .epoch)
        folder.nodes.withLock { $0["old"] = VirtualNode(.content(size: 2) { other }, identity: 2) }
        #expect(try readFile(path) == [9, 9])
        #expect(try readAll(file) == bytes)
        #expect(try status(path).st_ino != facts.st_ino)
    }

    @Test func `nothing in it can be made, changed or removed`() throws {
        let (mount, _) = try mounted([
            "status": text("well\n"), "sub": VirtualNode(.directory(FakeFolder(["x": text("x")]))),
            "link": VirtualNode(.link(Array("status".utf8))),
        ])
        defer { mount.end() }
        try writeFile(mount.at("a"), [1])
        try check(mkdir(mount.at("d"), 0o755))
        let folder = mount.at(".holdfast")
        let refusals: [(String, Int32)] = [
            ("mkdir", code { try check(mkdir(folder, 0o755)) }),
            ("mkdir below", code { try check(mkdir(folder + "/new", 0o755)) }),
            ("create", code { try writeFile(folder + "/new", [1]) }),
            ("create over", code { try check(open(folder, O_CREAT | O_EXCL | O_WRONLY, 0o644)) }),
            ("write", code { try writeFile(folder + "/status", [1]) }),
            ("truncate", code { try check(truncate(folder + "/status", 0)) }),
            ("mknod", code { try check(mkfifo(folder + "/new", 0o644)) }),
            ("symlink", code { try check(symlink("x", folder + "/new")) }),
            ("symlink over", code { try check(symlink("x", folder)) }),
            ("link out", code { try check(link(folder + "/status", mount.at("b"))) }),
            ("link in", code { try check(link(mount.at("a"), folder + "/b")) }),
            ("link over", code { try check(link(mount.at("a"), folder)) }),
            ("unlink", code { try check(unlink(folder + "/status")) }),
            ("rmdir", code { try check(rmdir(folder)) }),
            ("rmdir below", code { try check(rmdir(folder + "/sub")) }),
            ("rename", code { try check(rename(folder, mount.at("e"))) }),
            ("rename over", code { try check(rename(mount.at("d"), folder)) }),
            ("rename in", code { try check(rename(mount.at("a"), folder + "/a")) }),
            ("rename out", code { try check(rename(folder + "/status", mount.at("s"))) }),
            ("chmod", code { try check(chmod(folder, 0o777)) }),
            ("chown", code { try check(chown(folder + "/status", 1, 1)) }),
            ("utimes", code { try check(utimensat(AT_FDCWD, folder, nil, 0)) }),
            ("setxattr", code { try check(setxattr(folder, "user.x", "y", 1, 0)) }),
        ]
        let allowed: [String: Int32] = [
            "mkdir": EEXIST, "create over": EEXIST, "symlink over": EEXIST, "link over": EEXIST,
            "rmdir": EPERM, "rename": EPERM, "rename over": EPERM,
        ]
        for (what, code) in refusals {
            // Who is not root is stopped by the modes.
            let expected = allowed[what] ?? EROFS
            #expect(code == expected || geteuid() != 0 && code == EACCES, "\(what): \(code)")
        }
        #expect(getxattr(folder, "user.x", nil, 0) == -1 && errno == ENODATA)
        #expect(listxattr(folder, nil, 0) == 0)
        #expect(try read(mount.at(".holdfast/link")) == "well\n")
        #expect(try read(mount.at(".holdfast/sub/x")) == "x")
        #expect(try names(folder) == ["link", "status", "sub"])
        #expect(try names(mount.path) == ["a", "d"])
        let file = try check(open(folder + "/status", O_RDONLY))
        #expect(fsync(file) == 0)
        try check(close(file))
    }

    @Test func `tree walkers, copiers and git never trip over it`() throws {
        let (mount, _) = try mounted(["status": text("well\n")])
        defer { mount.end() }
        let script = """
            mkdir d && echo 1 >d/f && echo 2 >.dot
            [ "$(find . | sort | tr '\\n' ' ')" = '. ./.dot ./d ./d/f ' ]
            cp -a . "$1" && diff -r . "$1" && [ ! -e "$1/.holdfast" ]
            tar cf "$1/t.tar" . && ! tar tf "$1/t.tar" | grep -q holdfast
            if command -v rsync >/dev/null; then rsync -a --delete ./ "$1/r/"; [ ! -e "$1/r/.holdfast" ]; fi
            if command -v git >/dev/null; then
                git init -q . && git add -A && [ -z "$(git ls-files | grep holdfast)" ]
                git -c user.name=x -c user.email=x@x commit -qm one && git clean -qfdx
                [ -e .holdfast/status ]
            fi
            rm -rf ./* .dot .git && [ -z "$(ls -A)" ] && cat .holdfast/status
            ! rm -rf .holdfast 2>/dev/null && cat .holdfast/status
            """
        var template = Array("/tmp/holdfast-copy-XXXXXX".utf8CString)
        let copy = String(cString: mkdtemp(&template))
        defer { _ = try? Program(["/bin/rm", "-rf", copy]).wait() }
        let code = try Program(
            ["/bin/sh", "-euc", "cd \"$0\"; " + script, mount.path, copy]).wait()
        #expect(code == 0)
    }

    @Test func `an entry of the share with the folder's name is not listed twice`() throws {
        let volume = FakeVolume(chunks: FakeChunks())
        try volume.makeRemotely(".holdfast", .inline([1]))
        let (mount, _) = try mounted(["status": text("well\n")], volume: volume)
        defer { mount.end() }
        #expect(try names(mount.path) == [])
        #expect(try read(mount.at(".holdfast/status")) == "well\n")
    }

    @Test func `a read-only mount shows it, and others see it when they may enter`() throws {
        let (mount, _) = try mounted(["status": text("well\n")]) { options in
            options.readOnly = true
            options.allowOther = geteuid() == 0
        }
        defer { mount.end() }
        #expect(try read(mount.at(".holdfast/status")) == "well\n")
        #expect(code { try writeFile(mount.at(".holdfast/status"), [1]) } == EROFS)
        if geteuid() == 0 {
            chmod("/tmp", 0o1777)
            let stranger = try Program.asStranger(["/bin/cat", mount.at(".holdfast/status")])
            #expect(stranger == 0)
        }
    }

    @Test func `extended attributes tell of a file, are in no list and cannot be set`() throws {
        let mount = try TestMount()
        defer { mount.end() }
        let path = mount.at("a")
        func told(_ name: String) -> String? {
            var buffer = [UInt8](repeating: 0, count: 1000)
            let count = getxattr(path, "user.holdfast.\(name)", &buffer, buffer.count)
            return count < 0 ? nil : String(decoding: buffer[..<count], as: UTF8.self)
        }
        let file = try check(open(path, O_CREAT | O_RDWR, 0o644))
        try writeAll(file, randomBytes(100_000, seed: 5))
        #expect(told("state") == "saving")
        try check(close(file))
        mount.eventually("it is saved") { told("state") == "local" }
        let version = try #require(
            mount.volume.state.withLock {
                state in state.node("a").flatMap { state.objects[$0]?.versions.first }
            })
        #expect(told("versions") == "1 v\(version)")
        #expect(told("writer") == "someone")
        #expect(told("written") == "1970-01-01T00:00:01.002Z")
        #expect(told("conflict") == nil && errno == ENODATA)
        #expect(told("nothing") == nil && errno == ENODATA)
        mount.chunks.hideAll()
        #expect(told("state") == "remote")
        mount.volume.makeCopy("a")
        #expect(told("state") == "conflict")
        #expect(told("conflict") == "other\nthird")
        #expect(listxattr(path, nil, 0) == 0)
        #expect(setxattr(path, "user.holdfast.state", "x", 1, 0) == -1 && errno == EPERM)
        #expect(removexattr(path, "user.holdfast.state") == -1 && errno == EPERM)
        let root = getxattr(mount.path, "user.holdfast.state", nil, 0)
        #expect(root == 5)
        #expect(getxattr(mount.path, "user.holdfast.versions", nil, 0) == -1 && errno == ENODATA)
    }

    @Test func `ids are given back when the kernel forgets them`() throws {
        let folder = VirtualFolder(FakeFolder(["a": text("a"), "b": text("b")]))
        let first = try #require(try folder.bind(Array("a".utf8), in: .virtualFolder))
        let again = try #require(try folder.bind(Array("a".utf8), in: .virtualFolder))
        #expect(first.id == again.id)
        #expect(first.id.isVirtual)
        _ = try folder.bind(Array("b".utf8), in: .virtualFolder)
        #expect(folder.count == 3)
        folder.forget(first.id)
        #expect(folder.count == 3)
        folder.forget(first.id)
        #expect(folder.count == 2)
        #expect(throws: VolumeError.stale) { try folder.find(first.id) }
        folder.forget(.virtualFolder, count: .max)
        #expect(try folder.find(.virtualFolder).parent == .root)
    }
}
