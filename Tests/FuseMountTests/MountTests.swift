import Base
import Chunks
import Glibc
import Share
import Synchronization
import Testing

@testable import FuseMount

/// What a mount does beyond POSIX: other devices' changes, absent bytes, crashes, failures.
@Suite(.enabled(if: canMount), .serialized)
struct MountTests {
    /// The content of bytes, stored where a mount finds it.
    private func stored(_ bytes: [UInt8], in chunks: FakeChunks) throws -> Content {
        var builder = ContentBuilder(keys: testKeys, storage: chunks)
        let content = try builder.build(
            from: FunctionSource(size: UInt64(bytes.count)) { offset, buffer in
                let part = bytes[Int(offset)...].prefix(buffer.count)
                buffer.copyBytes(from: part)
                return part.count
            })
        try chunks.sync()
        return content
    }

    @Test
    func `a peer's change shows in an open file that is clean`() throws {
        let mount = try TestMount()
        defer { mount.end() }
        try writeFile(mount.at("a"), [1, 1])
        // Clean: it is a version.
        mount.settle()
        let file = try check(open(mount.at("a"), O_RDONLY))
        defer { close(file) }
        #expect(try readAll(file) == [1, 1])
        mount.volume.writeRemotely("a", .inline([2, 2, 2]))
        try mount.eventually("the open file shows it") { try readAll(file) == [2, 2, 2] }
        #expect(try status(mount.at("a")).st_size == 3)
        let large = randomBytes(300_000, seed: 1)
        mount.volume.writeRemotely("a", try stored(large, in: mount.chunks))
        try mount.eventually("the open file shows it") { try readAll(file) == large }
    }

    @Test
    func `a name that a peer gave to another file is linked to that`() throws {
        let mount = try TestMount()
        defer { mount.end() }
        try writeFile(mount.at("a"), [1])
        mount.settle()
        #expect(try status(mount.at("a")).st_size == 1)
        // The kernel hears of nothing for a while.
        mount.volume.setObserver(nil)
        try mount.volume.removeRemotely("a")
        try mount.volume.makeRemotely("a", .inline([2, 2]))
        try check(link(mount.at("a"), mount.at("b")))
        #expect(try readFile(mount.at("b")) == [2, 2])
    }

    @Test
    func `a peer's change does not touch a file that is dirty`() throws {
        let mount = try TestMount()
        defer { mount.end() }
        try writeFile(mount.at("a"), [1, 1])
        mount.settle()
        let parents = mount.volume.state.withLock { state in
            state.node("a").flatMap { state.objects[$0]?.versions }
        }
        let file = try check(open(mount.at("a"), O_RDWR))
        try pwriteAll(file, [5], at: 0)
        mount.volume.writeRemotely("a", .inline([2, 2, 2]))
        sleepMilliseconds(50)
        #expect(try readAll(file) == [5, 1])
        close(file)
        mount.settle()
        // Its parents are what its writer was shown: so it is concurrent with the peer's.
        let save = try #require(mount.volume.saves.last)
        #expect(save.content == .inline([5, 1]))
        #expect(save.parents == parents)
    }

    @Test
    func `a peer's files appear, change and go, whatever the kernel keeps`() throws {
        let mount = try TestMount()
        defer { mount.end() }
        #expect(code { _ = try status(mount.at("x")) } == ENOENT)
        #expect(try names(mount.path) == [])
        try mount.volume.makeRemotely("x", .inline([1]))
        mount.eventually("it is found") { code { _ = try status(mount.at("x")) } == 0 }
        try mount.eventually("it is listed") { try names(mount.path) == ["x"] }
        #expect(try readFile(mount.at("x")) == [1])
        mount.volume.writeRemotely("x", .inline([2, 3]))
        try mount.eventually("it has grown") { try status(mount.at("x")).st_size == 2 }
        #expect(try readFile(mount.at("x")) == [2, 3])
        try mount.volume.removeRemotely("x")
        mount.eventually("it is gone") { code { _ = try status(mount.at("x")) } == ENOENT }
        try mount.eventually("it is not listed") { try names(mount.path) == [] }
    }

    @Test
    func `absent bytes are fetched when they are read`() throws {
        let mount = try TestMount()
        defer { mount.end() }
        let bytes = randomBytes(700_000, seed: 2)
        try mount.volume.makeRemotely("a", try stored(bytes, in: mount.chunks))
        mount.chunks.hideAll()
        #expect(try readFile(mount.at("a")) == bytes)
        #expect(mount.volume.state.withLock { $0.demands } > 0)
    }

    @Test
    func `absent bytes that nobody has are EHOSTUNREACH, and the rest goes on`() throws {
        let mount = try TestMount()
        defer { mount.end() }
        try mount.volume.makeRemotely(
            "a", try stored(randomBytes(700_000, seed: 2), in: mount.chunks))
        mount.chunks.hideAll()
        mount.volume.state.withLock { $0.isReachable = false }
        #expect(code { _ = try readFile(mount.at("a")) } == EHOSTUNREACH)
        try writeFile(mount.at("b"), [1])
        #expect(try readFile(mount.at("b")) == [1])
        mount.volume.state.withLock { $0.isReachable = true }
        #expect(try readFile(mount.at("a")).count == 700_000)
    }

    @Test
    func `writing into a file needs none of its absent bytes`() throws {
        let mount = try TestMount()
        defer { mount.end() }
        var bytes = randomBytes(2_000_000, seed: 3)
        try mount.volume.makeRemotely("a", try stored(bytes, in: mount.chunks))
        mount.chunks.hideAll()
        mount.volume.state.withLock { $0.isReachable = false }
        // Whole pages: of a part the kernel wants the rest first.
        let page = randomBytes(4096, seed: 4)
        let file = try check(open(mount.at("a"), O_WRONLY))
        try pwriteAll(file, page, at: 245 * 4096)
        close(file)
        bytes.replaceSubrange(245 * 4096..<246 * 4096, with: page)
        mount.eventually("it is recorded") { mount.volume.staged.count == 1 }
        #expect(mount.volume.saves.isEmpty)
        mount.volume.state.withLock { $0.isReachable = true }
        #expect(try readFile(mount.at("a")) == bytes)
        // Only what lies around the edit was needed for the new version.
        mount.eventually("it is published", seconds: 15) { !mount.volume.saves.isEmpty }
        #expect(try mount.volume.bytes("a") == bytes)
    }

    @Test
    func `writing goes on while a job works, and leads to another`() throws {
        let mount = try TestMount { $0.writeBack = false }
        defer { mount.end() }
        mount.chunks.delayAppends(milliseconds: 100)
        var bytes = randomBytes(2_000_000, seed: 4)
        let file = try check(open(mount.at("a"), O_CREAT | O_RDWR, 0o644))
        try pwriteAll(file, bytes, at: 0)
        let first = bytes
        let second = dup(file)
        close(second)
        for step in 0..<20 {
            let part = randomBytes(5000, seed: UInt64(step))
            let offset = step * 90_000
            try pwriteAll(file, part, at: offset)
            bytes.replaceSubrange(offset..<offset + 5000, with: part)
            sleepMilliseconds(20)
        }
        #expect(try readAll(file) == bytes)
        close(file)
        mount.chunks.delayAppends(milliseconds: 0)
        try mount.eventually("all is published") { try mount.volume.bytes("a") == bytes }
        let saves = mount.volume.saves
        #expect(try contentBytes(#require(saves.first).content, mount.chunks) == first)
        for (earlier, later) in zip(saves, saves.dropFirst()) {
            #expect(later.parents != earlier.parents)
        }
    }

    @Test
    func `a large new file becomes chunks where it was staged`() throws {
        let mount = try TestMount { $0.adoptedBytesMin = 1 << 20 }
        defer { mount.end() }
        var bytes = randomBytes(12_000_000, seed: 9)
        try writeFile(mount.at("a"), bytes)
        mount.eventually("it is published", seconds: 15) { !mount.volume.saves.isEmpty }
        #expect(mount.chunks.adopted > 20)
        // Only the list of them.
        #expect(mount.chunks.appended < 5)
        #expect(try mount.volume.bytes("a") == bytes)
        mount.eventually("its staging file is given back") { mount.staging.files.isEmpty }

        // Read anew, the kernel gets them from there.
        let reader = try check(open(mount.at("a"), O_RDONLY))
        try check(posix_fadvise(reader, 0, 0, POSIX_FADV_DONTNEED))
        #expect(try readAll(reader) == bytes)
        #expect(mount.chunks.spliced > 0)
        close(reader)
        // O_DIRECT
        let direct = try check(open(mount.at("a"), O_RDONLY | 0o40000))
        for offset in stride(from: 0, to: 11 << 20, by: 700 << 10) {
            let start = offset / 4096 * 4096
            var memory: UnsafeMutableRawPointer?
            posix_memalign(&memory, 4096, 1 << 20)
            defer { free(memory) }
            let count = pread(direct, memory, 1 << 20, off_t(start))
            let found = UnsafeRawBufferPointer(start: memory, count: max(count, 0))
            #expect(Array(found) == Array(bytes[start..<min(bytes.count, start + 1 << 20)]))
        }
        close(direct)

        // Whatever is done to it, the version of before keeps its bytes.
        let first = bytes
        let file = try check(open(mount.at("a"), O_RDWR))
        for step in 0..<30 {
            let part = randomBytes(50_000, seed: UInt64(step))
            let offset = step * 400_000
            try pwriteAll(file, part, at: offset)
            bytes.replaceSubrange(offset..<min(bytes.count, offset + 50_000), with: part)
        }
        try check(ftruncate(file, off_t(bytes.count - 100_000)))
        bytes.removeLast(100_000)
        #expect(try readAll(file) == bytes)
        close(file)
        try mount.eventually("the other is published", seconds: 15) {
            try mount.volume.bytes("a") == bytes
        }
        let before = try #require(mount.volume.saves.first)
        #expect(try contentBytes(before.content, mount.chunks) == first)
    }

    @Test(arguments: [false, true])
    func `a large file that is written while its chunks are adopted keeps both`(writeBack: Bool)
        throws
    {
        let mount = try TestMount {
            $0.writeBack = writeBack
            $0.adoptedBytesMin = 1 << 20
        }
        defer { mount.end() }
        mount.chunks.delayAdoption(milliseconds: 300)
        var bytes = randomBytes(10_000_000, seed: 10)
        let first = bytes
        let file = try check(open(mount.at("a"), O_CREAT | O_RDWR, 0o644))
        try pwriteAll(file, bytes, at: 0)
        try check(fsync(file))
        let second = try check(open(mount.at("a"), O_RDWR))
        close(second)
        mount.eventually("chunks are adopted", seconds: 15) { mount.chunks.adopted > 0 }
        try pwriteAll(file, [1, 2, 3], at: 5_000_000)
        bytes.replaceSubrange(5_000_000..<5_000_003, with: [1, 2, 3])
        try pwriteAll(file, [4, 5, 6], at: bytes.count)
        bytes += [4, 5, 6]
        try check(fsync(file))
        #expect(try readAll(file) == bytes)
        close(file)
        try mount.eventually("all is published", seconds: 15) {
            try mount.volume.bytes("a") == bytes
        }
        let before = try #require(mount.volume.saves.first)
        #expect(try contentBytes(before.content, mount.chunks) == first)
    }

    @Test(arguments: [false, true])
    func `what is written over a large file becomes chunks where it was staged`(writeBack: Bool)
        throws
    {
        let mount = try TestMount {
            $0.writeBack = writeBack
            $0.adoptedBytesMin = 1 << 20
        }
        defer { mount.end() }
        let first = randomBytes(8_000_000, seed: 12)
        try writeFile(mount.at("a"), first)
        mount.eventually("it is published", seconds: 15) { !mount.volume.saves.isEmpty }
        let (adopted, appended) = (mount.chunks.adopted, mount.chunks.appended)

        // A large piece in the middle, and one too small to be worth a file of its own.
        var bytes = first
        let file = try check(open(mount.at("a"), O_RDWR))
        for (offset, count) in [(1_500_000, 4_000_000), (7_000_000, 100_000)] {
            let part = randomBytes(count, seed: UInt64(offset))
            try pwriteAll(file, part, at: offset)
            bytes.replaceSubrange(offset..<offset + count, with: part)
        }
        try check(fsync(file))
        close(file)
        try mount.eventually("the other is published", seconds: 15) {
            try mount.volume.bytes("a") == bytes
        }
        #expect(mount.chunks.adopted > adopted + 10)
        // The edges, the small piece and the list.
        #expect(mount.chunks.appended < appended + 10)
        #expect(try readFile(mount.at("a")) == bytes)
        let before = try #require(mount.volume.saves.first)
        #expect(try contentBytes(before.content, mount.chunks) == first)
    }

    @Test
    func `where nothing can be adopted a large file is copied`() throws {
        let mount = try TestMount { $0.adoptedBytesMin = 1 << 20 }
        defer { mount.end() }
        mount.chunks.setAdopts(false)
        let bytes = randomBytes(10_000_000, seed: 11)
        try writeFile(mount.at("a"), bytes)
        try mount.eventually("it is published", seconds: 15) {
            try mount.volume.bytes("a") == bytes
        }
        #expect(mount.chunks.adopted == 0)
    }

    @Test
    func `what was written and is no version yet is counted`() throws {
        let mount = try TestMount()
        defer { mount.end() }
        mount.chunks.delayAppends(milliseconds: 100)
        #expect(mount.mount.unpublishedBytes == 0)
        try writeFile(mount.at("a"), randomBytes(2_000_000, seed: 4))
        #expect(mount.mount.unpublishedBytes == 2_000_000)
        mount.chunks.delayAppends(milliseconds: 0)
        mount.eventually("it is published") { mount.mount.unpublishedBytes == 0 }
        #expect(mount.volume.saves.count == 1)
        let file = try check(open(mount.at("a"), O_WRONLY | O_TRUNC))
        #expect(mount.mount.unpublishedBytes > 0)
        close(file)
        mount.eventually("the empty file is published") { mount.mount.unpublishedBytes == 0 }
    }

    @Test
    func `a rename over a file waits until the new bytes are a version`() throws {
        let mount = try TestMount()
        defer { mount.end() }
        try writeFile(mount.at("f"), [1])
        mount.chunks.delayAppends(milliseconds: 50)
        let bytes = randomBytes(1_000_000, seed: 5)
        try writeFile(mount.at("tmp"), bytes)
        try check(rename(mount.at("tmp"), mount.at("f")))
        #expect(try mount.volume.bytes("f") == bytes)
        #expect(try readFile(mount.at("f")) == bytes)
    }

    @Test
    func `a file that is removed while a job works is not published`() throws {
        let mount = try TestMount()
        defer { mount.end() }
        mount.chunks.delayAppends(milliseconds: 100)
        try writeFile(mount.at("a"), randomBytes(2_000_000, seed: 6))
        sleepMilliseconds(50)
        try check(unlink(mount.at("a")))
        sleepMilliseconds(500)
        #expect(mount.volume.saves.isEmpty)
        #expect(mount.volume.staged.isEmpty)
        mount.eventually("staging is empty") { mount.staging.files.isEmpty }
    }

    @Test
    func `an edit of a conflict copy makes it a file of its own`() throws {
        let mount = try TestMount()
        defer { mount.end() }
        try mount.volume.makeRemotely("copy", .inline([1]))
        mount.volume.makeCopy("copy")
        let before = try status(mount.at("copy")).st_ino
        let file = try check(open(mount.at("copy"), O_RDWR))
        try pwriteAll(file, [2], at: 0)
        close(file)
        mount.settle()
        mount.eventually("the kernel hears of it") {
            (try? status(mount.at("copy")).st_ino) != before
        }
        let after = try status(mount.at("copy"))
        #expect(after.st_ino != before)
        #expect(mount.volume.node("copy")?.rawValue == UInt64(after.st_ino))
        try writeFile(mount.at("copy"), [3, 3])
        mount.settle()
        #expect(try mount.volume.bytes("copy") == [3, 3])
    }

    @Test
    func `what a crash leaves staged is published at the next mount`() throws {
        let chunks = FakeChunks()
        let volume = FakeVolume(chunks: chunks)
        let staging = FakeStaging()
        let base = randomBytes(200_000, seed: 7)
        try volume.makeRemotely("a", try stored(base, in: chunks))
        let node = try #require(volume.node("a"))
        let left = try staging.create()
        let leftover = try staging.create()
        try [9, 9, 9].withUnsafeBytes { try left.write($0, at: 1000) }
        try volume.recordStaged(
            StagedFile(
                node: node, parents: [7], base: try #require(volume.content("a")),
                size: 150_000, modified: Timestamp(seconds: 99), dirty: [1000..<1024],
                file: left.id))
        try volume.recordStaged(
            StagedFile(
                node: NodeID(rawValue: 999), parents: [], base: .empty, size: 1, modified: .epoch,
                dirty: [0..<1], file: 12345))
        _ = leftover
        let mount = try TestMount(volume: volume, staging: staging)
        defer { mount.end() }
        var expected = Array(base[..<150_000])
        expected.replaceSubrange(
            1000..<1024, with: [9, 9, 9].flatMap { [$0, 0, 0, 0, 0, 0, 0, 0] })
        #expect(try readFile(mount.at("a")) == expected)
        try mount.eventually("it is published") { try volume.bytes("a") == expected }
        #expect(volume.saves.last?.parents == [7])
        #expect(volume.saves.last?.modified == Timestamp(seconds: 99))
        mount.eventually("nothing is left") { staging.files.count == 1 && volume.staged.isEmpty }
        // What another file might use is there as long as the mount.
        mount.end()
        #expect(staging.files.isEmpty)
    }

    @Test
    func `staged bytes that cannot be read now are kept, and the mount refused`() throws {
        let volume = FakeVolume(chunks: FakeChunks())
        let staging = FakeStaging()
        try volume.makeRemotely("a", .inline([1]))
        let left = try staging.create()
        let record = StagedFile(
            node: try #require(volume.node("a")), parents: [7], base: .inline([1]), size: 10,
            modified: .epoch, dirty: [0..<10], file: left.id)
        try volume.recordStaged(record)
        staging.isBroken.withLock { $0 = true }
        #expect(throws: MountError.self) { try TestMount(volume: volume, staging: staging) }
        #expect(try volume.stagedFiles() == [record])
        staging.isBroken.withLock { $0 = false }
        let mount = try TestMount(volume: volume, staging: staging)
        defer { mount.end() }
        #expect(try readFile(mount.at("a")).count == 10)
    }

    @Test
    func `stopping publishes what is dirty`() throws {
        let mount = try TestMount()
        let bytes = randomBytes(500_000, seed: 8)
        let file = try check(open(mount.at("a"), O_CREAT | O_RDWR, 0o644))
        try pwriteAll(file, bytes, at: 0)
        let small = try check(open(mount.at("b"), O_CREAT | O_RDWR, 0o644))
        try pwriteAll(small, [1, 2], at: 0)
        // The files are open: the mount is taken away all the same.
        mount.end()
        #expect(try mount.volume.bytes("a") == bytes)
        #expect(try mount.volume.bytes("b") == [1, 2])
        #expect(pwrite(file, [1], 1, 0) == -1)
        close(file)
        close(small)
        #expect(mount.staging.files.isEmpty)
    }

    @Test
    func `a full disk is told when a file is closed, also where the kernel writes back`() throws {
        // Pages that are called in now and then may be gone before the disk is full.
        let mount = try TestMount(ticks: false)
        defer { mount.end() }
        let file = try check(open(mount.at("a"), O_CREAT | O_RDWR, 0o644))
        try pwriteAll(file, [1], at: 0)
        mount.volume.state.withLock { $0.freeBytes = 1000 }
        #expect(close(file) == -1 && errno == ENOSPC)
        mount.volume.state.withLock { $0.freeBytes = 1 << 30 }
        // What could not be taken does not count, whatever the kernel thought.
        try mount.eventually("the file is empty") { try readFile(mount.at("a")) == [] }
        try writeFile(mount.at("a"), [1, 2])
        mount.settle()
        #expect(try mount.volume.bytes("a") == [1, 2])
        let synced = try check(open(mount.at("a"), O_RDWR))
        try pwriteAll(synced, [1], at: 0)
        mount.volume.state.withLock { $0.failure = .storage(.full) }
        #expect(fsync(synced) == -1 && errno == ENOSPC)
        mount.volume.state.withLock { $0.failure = nil }
        close(synced)
    }

    @Test
    func `errors of the volume reach the program, and bytes are kept for later`() throws {
        let mount = try TestMount { $0.writeBack = false }
        defer { mount.end() }
        let file = try check(open(mount.at("a"), O_CREAT | O_RDWR, 0o644))
        try pwriteAll(file, [1], at: 0)
        mount.volume.state.withLock { $0.failure = .storage(.full) }
        #expect(close(file) == -1 && errno == ENOSPC)
        #expect(code { try writeFile(mount.at("b"), []) } == ENOSPC)
        mount.volume.state.withLock { $0.failure = nil }
        #expect(try readFile(mount.at("a")) == [1])
        try mount.mount.flushAll()
        #expect(try mount.volume.bytes("a") == [1])
    }

    @Test
    func `writers wait while too much is staged, and lose nothing`() throws {
        let mount = try TestMount { $0.stagedBytesMax = 3 << 20 }
        defer { mount.end() }
        let bytes = randomBytes(16 << 20, seed: 9)
        let file = try check(open(mount.at("a"), O_CREAT | O_RDWR, 0o644))
        for start in stride(from: 0, to: bytes.count, by: 1 << 20) {
            try pwriteAll(file, Array(bytes[start..<start + 1 << 20]), at: start)
        }
        #expect(try readAll(file) == bytes)
        close(file)
        mount.eventually("it is published", seconds: 20) {
            mount.volume.content("a")?.size == UInt64(bytes.count)
        }
        #expect(try mount.volume.bytes("a") == bytes)
    }

    @Test
    func `a read-only mount refuses changes`() throws {
        let chunks = FakeChunks()
        let volume = FakeVolume(chunks: chunks)
        try volume.makeRemotely("a", .inline([1]))
        let mount = try TestMount(volume: volume) { $0.readOnly = true }
        defer { mount.end() }
        #expect(try readFile(mount.at("a")) == [1])
        #expect(code { try writeFile(mount.at("a"), [2]) } == EROFS)
        #expect(unlink(mount.at("a")) == -1 && errno == EROFS)
    }

    @Test
    func `fallocate asks for no more than the file lacks`() throws {
        let mount = try TestMount()
        defer { mount.end() }
        try writeFile(mount.at("a"), randomBytes(200_000, seed: 1))
        let file = try check(open(mount.at("a"), O_RDWR))
        defer { close(file) }
        mount.volume.state.withLock { $0.freeBytes = 100_000 }
        try check(fallocate(file, 0, 0, 250_000))
        #expect(fallocate(file, 1, 0, 400_000) == -1 && errno == ENOSPC)
        #expect(try status(file).st_size == 250_000)
    }

    @Test
    func `the table of mounts tells the truth`() throws {
        let mount = try TestMount {
            $0.source = "notes,of\\all"
            $0.readOnly = true
        }
        defer { mount.end() }
        let table = String(decoding: try readFile("/proc/self/mounts"), as: UTF8.self)
        let line = table.split(separator: "\n").first { $0.contains(mount.path) }
        let fields = try #require(line).split(separator: " ")
        // The kernel shows a backslash as \134.
        #expect(fields[0] == "notes,of\\134all")
        #expect(fields[2] == "fuse.holdfast")
        let options = fields[3].split(separator: ",")
        for option in ["ro", "nosuid", "nodev", "noatime"] {
            #expect(options.contains { $0 == option }, "\(option)")
        }
    }

    @Test(.enabled(if: geteuid() == 0))
    func `a handle finds its file when the kernel has forgotten it`() throws {
        let first = try TestMount()
        try check(mkdir(first.at("d"), 0o755))
        try writeFile(first.at("d/f"), [1])
        try writeFile(first.at("d/tmp"), [1, 2])
        try check(rename(first.at("d/tmp"), first.at("d/f")))
        try writeFile(first.at("gone"), [1])
        let handles = try ["d/f", "d", "gone"].map { name in
            // Room for 128 bytes; size and type come first.
            var handle = [UInt32](repeating: 0, count: 34)
            handle[0] = 128
            var number: Int32 = 0
            try check(name_to_handle_at(AT_FDCWD, first.at(name), &handle, &number, 0))
            return handle
        }
        try check(unlink(first.at("gone")))
        first.end()
        // Nothing is known to the kernel now.
        let second = try TestMount(volume: first.volume)
        defer { second.end() }
        let root = try check(open(second.path, O_RDONLY | O_DIRECTORY))
        defer { close(root) }
        var handle = handles[0]
        let file = try check(open_by_handle_at(root, &handle, O_RDWR))
        defer { close(file) }
        #expect(try readAll(file) == [1, 2])
        #expect(try status(file).st_ino == (try status(second.at("d/f"))).st_ino)
        handle = handles[1]
        let directory = try check(open_by_handle_at(root, &handle, O_RDONLY | O_DIRECTORY))
        defer { close(directory) }
        #expect(try status(directory).st_ino == (try status(second.at("d"))).st_ino)
        handle = handles[2]
        #expect(open_by_handle_at(root, &handle, O_RDONLY) == -1 && errno == ESTALE)
    }

    @Test
    func `a mount point that cannot be used is refused with a reason`() throws {
        #expect(throws: MountError.missing(mountPoint: "/nowhere/at/all")) {
            _ = try TestMount(path: "/nowhere/at/all")
        }
        #expect(throws: MountError.notDirectory(mountPoint: "/etc/passwd")) {
            _ = try TestMount(path: "/etc/passwd")
        }
        let mount = try TestMount()
        defer { mount.end() }
        #expect(throws: MountError.inUse(mountPoint: mount.path, by: "fuse.holdfast")) {
            _ = try TestMount(path: mount.path)
        }
    }

    @Test
    func `a program that waits for absent bytes can be interrupted`() throws {
        let mount = try TestMount()
        defer { mount.end() }
        try mount.volume.makeRemotely(
            "a", try stored(randomBytes(700_000, seed: 2), in: mount.chunks))
        mount.chunks.hideAll()
        mount.volume.state.withLock { $0.demandMilliseconds = 3000 }
        let program = try Program(["/bin/cat", mount.at("a")])
        mount.eventually("it asks") { mount.volume.state.withLock { $0.demands } > 0 }
        let start = Clock.now()
        program.send(SIGTERM)
        #expect(program.wait() == -SIGTERM)
        #expect(Clock.now() - start < .seconds(2))
        // The others were not held up, and the reply that comes late harms nobody.
        try writeFile(mount.at("b"), [1])
        sleepMilliseconds(3200)
        #expect(try readFile(mount.at("b")) == [1])
    }

    @Test
    func `names that no kernel takes do not spoil a listing`() throws {
        let mount = try TestMount()
        defer { mount.end() }
        try mount.volume.makeRemotely("good", .inline([1]))
        for name in ["a/b", "..", ".", "", "nul\0", String(repeating: "x", count: 256)] {
            try mount.volume.makeRemotely(name)
        }
        mount.eventually("only the good one is listed") {
            (try? names(mount.path)) == ["good"]
        }
    }

    @Test
    func `a contained mount shows no link that leads out of it`() throws {
        let mount = try TestMount { $0.containSymlinks = true }
        defer { mount.end() }
        try check(mkdir(mount.at("d"), 0o755))
        try writeFile(mount.at("a"), [1])
        let cases: [(target: String, isShown: Bool)] = [
            ("/etc/passwd", false), ("../a", true), ("../../a", false), ("e/../../x", false),
            ("a", true), ("./b/c", true),
        ]
        for (index, link) in cases.enumerated() {
            let path = mount.at("d/\(index)")
            try check(symlink(link.target, path))
            var buffer = [CChar](repeating: 0, count: 100)
            let count = readlink(path, &buffer, 100)
            #expect((count > 0) == link.isShown, "\(link.target)")
            if count < 0 { #expect(errno == EPERM) }
        }
        #expect(try readFile(mount.at("d/1")) == [1])
        // Higher up, the same link would lead out.
        try check(rename(mount.at("d/1"), mount.at("up")))
        #expect(code { _ = try readFile(mount.at("up")) } == EPERM)
    }

    @Test
    func `attributes that are kept are those of the last version`() throws {
        // Where the kernel writes back, it keeps times of its own.
        let mount = try TestMount { $0.writeBack = false }
        defer { mount.end() }
        let isDone = Atomic<Bool>(false)
        let ended = Latch()
        let path = mount.path
        onThread {
            while !isDone.load(ordering: .relaxed) {
                for index in 0..<8 { _ = try? status("\(path)/\(index)") }
                _ = try? names(path)
            }
            ended.open()
        }
        for round in 1...15 {
            for index in 0..<8 {
                try writeFile(mount.at("\(index)"), randomBytes(4090 + round, seed: 1))
            }
        }
        isDone.store(true, ordering: .relaxed)
        ended.wait()
        try mount.mount.flushAll()
        sleepMilliseconds(100)
        for index in 0..<8 {
            let shown = try status(mount.at("\(index)"))
            let kept = try mount.volume.attributes(
                of: try #require(mount.volume.node("\(index)")))
            #expect(shown.st_size == 4105)
            #expect(time(shown.st_mtim) == kept.modified)
            #expect(time(shown.st_ctim) == kept.changed)
        }
    }

    @Test(.enabled(if: geteuid() == 0))
    func `strangers stay outside unless they are let in, and then modes count`() throws {
        let closed = try TestMount()
        try writeFile(closed.at("a"), [1])
        #expect(try Program.asStranger(["/bin/cat", closed.at("a")]) != 0)
        closed.end()
        let mount = try TestMount { $0.allowOther = true }
        defer { mount.end() }
        chmod(mount.path, 0o777)
        try writeFile(mount.at("open"), [1])
        try writeFile(mount.at("shut"), [1])
        chmod(mount.at("shut"), 0o600)
        #expect(try Program.asStranger(["/bin/cat", mount.at("open")]) == 0)
        #expect(try Program.asStranger(["/bin/cat", mount.at("shut")]) != 0)
        #expect(try Program.asStranger(["/bin/mkdir", mount.at("theirs")]) == 0)
        let theirs = try status(mount.at("theirs"))
        #expect(theirs.st_uid == 12345 && theirs.st_gid == 12345)
    }

    @Test(.enabled(if: geteuid() == 0))
    func `writing takes setuid and setgid bits away, but root's does not`() throws {
        let mount = try TestMount { $0.allowOther = true }
        defer { mount.end() }
        for (index, write) in ["echo x >> $0", "echo x > $0", "truncate -s 1 $0"].enumerated() {
            let path = mount.at("\(index)")
            try writeFile(path, [1, 2, 3])
            chmod(path, 0o6777)
            #expect(try Program(["/bin/sh", "-c", write, path]).wait() == 0)
            #expect(try status(path).st_mode & 0o7777 == 0o6777)
            #expect(try Program.asStranger(["/bin/sh", "-c", write, path]) == 0)
            mount.eventually("the bits are gone") {
                (try? status(path).st_mode & 0o7777) == 0o777
            }
        }
        // Where the group may not execute, its own members keep the bit.
        let path = mount.at("member")
        try writeFile(path, [1])
        let write = ["/bin/sh", "-c", "echo x >> $0", path]
        for (groups, left) in [("--clear-groups", 0o666), ("--groups=777", 0o2666)]
            as [(String, mode_t)]
        {
            chown(path, 0, 777)
            chmod(path, 0o6666)
            let stranger = ["/usr/bin/setpriv", "--reuid=12345", "--regid=12345", groups] + write
            #expect(try Program(stranger).wait() == 0)
            mount.eventually("\(groups) leaves \(left)") {
                (try? status(path).st_mode & 0o7777) == left
            }
        }
    }

    /// For tools by hand: HOLDFAST_SERVE=/mount/point swift test --filter 'a fake share'
    @Test(.enabled(if: getenv("HOLDFAST_SERVE") != nil))
    func `a fake share is served until it is unmounted`() throws {
        let mount = try TestMount(path: String(cString: getenv("HOLDFAST_SERVE")))
        print("serving \(mount.path)")
        mount.mount.run()
        for line in mount.log { print(line) }
    }

    // The kernel tells the time of the last write at close; a call of a killed program it takes back.
    @Test
    func `a file that a killed program wrote has one time for all`() throws {
        let mount = try TestMount()
        defer { mount.end() }
        let script = "while :; do head -c 3000000 /dev/zero >\"$0\"; done"
        let names = (0..<20).map { "f\($0)" }
        for (index, name) in names.enumerated() {
            let program = try Program(
                ["/usr/bin/setsid", "/bin/sh", "-c", script, mount.at(name)])
            mount.eventually("it writes") { access(mount.at(name), F_OK) == 0 }
            sleepMilliseconds(UInt32(10 + index))
            program.sendToGroup(SIGKILL)
            _ = program.wait()
        }
        mount.settle()
        for name in names {
            let shown = Timestamp(try status(mount.at(name)).st_mtim)
            mount.eventually("\(name) has the time that is shown") {
                mount.volume.node(name).flatMap { try? mount.volume.attributes(of: $0) }?.modified
                    == shown
            }
        }
    }

    @Test
    func `a time set as soon as a file is closed is the one that the volume has`() throws {
        let mount = try TestMount()
        defer { mount.end() }
        // While pages are called in all the time, some are told after the time of the write.
        let caller = try Program([
            "/usr/bin/setsid", "/bin/sh", "-c", "while :; do sync -f \"$0\"; done", mount.path,
        ])
        defer {
            caller.sendToGroup(SIGKILL)
            _ = caller.wait()
        }
        let names = (0..<300).map { "f\($0)" }
        for (index, name) in names.enumerated() {
            let file = try check(open(mount.at(name), O_CREAT | O_WRONLY, 0o644))
            try writeAll(file, [UInt8(index & 255)])
            try check(close(file))
            let time = timespec(tv_sec: 1_000_000 + index, tv_nsec: 5)
            try check(utimensat(AT_FDCWD, mount.at(name), [time, time], 0))
        }
        mount.settle()
        for (index, name) in names.enumerated() {
            let node = try #require(mount.volume.node(name))
            let modified = try mount.volume.attributes(of: node).modified
            #expect(modified == Timestamp(timespec(tv_sec: 1_000_000 + index, tv_nsec: 5)))
        }
    }
}
