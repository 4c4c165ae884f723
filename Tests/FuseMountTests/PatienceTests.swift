import Base
import Chunks
import Glibc
import Share
import Synchronization
import Testing

@testable import FuseMount

/// Nothing hangs for want of a peer, and a mount always ends.
@Suite(.enabled(if: canMount), .serialized, .timeLimit(.minutes(2)))
struct PatienceTests {
    /// A mount with a file whose bytes are not here.
    ///
    /// - Parameter isSilent: whether nobody answers, instead of saying that nobody has them.
    private func absent(isSilent: Bool) throws -> TestMount {
        let mount = try TestMount()
        try mount.volume.makeRemotely(
            "absent", try stored(randomBytes(3_000_000, seed: 2), in: mount.chunks))
        mount.chunks.hideAll()
        mount.volume.state.withLock { state in
            state.isReachable = false
            state.isSilent = isSilent
        }
        return mount
    }

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
    func `reading what nobody has fails and says that nobody can be reached`() throws {
        let mount = try absent(isSilent: false)
        defer { mount.end() }
        #expect(code { _ = try readFile(mount.at("absent")) } == EHOSTUNREACH)
        let file = try check(open(mount.at("absent"), O_RDONLY))
        defer { close(file) }
        #expect(lseek(file, 5, 3) == 5)
        let copy = try check(open(mount.at("copy"), O_RDWR | O_CREAT, 0o644))
        defer { close(copy) }
        var (from, to) = (1, 0)
        #expect(copy_file_range(file, &from, copy, &to, 100_000, 0) == -1)
        #expect(errno == EHOSTUNREACH)
    }

    @Test
    func `a hundred waiting readers are in nobody's way, and go at once when told to`() throws {
        let mount = try absent(isSilent: true)
        defer { mount.end() }
        var readers: [Program] = []
        for index in 0..<100 {
            readers.append(
                try Program([
                    "/bin/dd", "if=\(mount.at("absent"))", "of=/dev/null", "bs=4k", "count=1",
                    "skip=\(index * 7)", "iflag=direct",
                ]))
        }
        mount.eventually("all ask") { mount.volume.state.withLock { $0.demands } >= 100 }
        #expect(try names(mount.path) == ["absent"])
        #expect(try status(mount.at("absent")).st_size == 3_000_000)
        let file = try check(open(mount.at("new"), O_RDWR | O_CREAT, 0o644))
        try writeAll(file, randomBytes(300_000, seed: 1))
        try check(fsync(file))
        try check(close(file))
        try check(rename(mount.at("new"), mount.at("newer")))
        for reader in readers { reader.send(SIGKILL) }
        for reader in readers { #expect(reader.wait() == -SIGKILL) }
    }

    @Test
    func `a mount ends though readers wait, and they are told`() throws {
        let mount = try absent(isSilent: true)
        let readers = try (0..<10).map { _ in
            try Program(["/bin/cat", mount.at("absent")])
        }
        mount.eventually("they ask") { mount.volume.state.withLock { $0.demands } > 0 }
        mount.end()
        for reader in readers { #expect(reader.wait() == 1) }
    }

    @Test
    func `a mount ends though a stopped program is inside with files open`() throws {
        let mount = try TestMount()
        let program = try Program([
            "/bin/sh", "-c", "cd \"$0\"; exec 3>open; echo x >&3; echo y > done; kill -STOP $$",
            mount.path,
        ])
        mount.eventually("it is inside") { mount.volume.content("done")?.size == 2 }
        mount.end()
        #expect(try mount.volume.bytes("open") == Array("x\n".utf8))
        program.send(SIGKILL)
        program.send(SIGCONT)
        #expect(program.wait() == -SIGKILL)
    }

    @Test(.enabled(if: geteuid() == 0))
    func `a mount ends though it is mounted elsewhere too`() throws {
        let mount = try TestMount()
        try writeFile(mount.at("a"), [1])
        var template = Array("/tmp/holdfast-other-XXXXXX".utf8CString)
        let other = String(cString: mkdtemp(&template))
        try check(bindMount(mount.path, other))
        defer {
            _ = umount2(other, 2)
            rmdir(other)
        }
        #expect(try readFile("\(other)/a") == [1])
        mount.end()
        #expect(code { _ = try names(other) } == ENOTCONN)
    }

    @Test
    func `a mount ends though writers wait for room that nobody makes`() throws {
        let mount = try TestMount { $0.stagedBytesMax = 1 << 20 }
        mount.chunks.setFull(true)
        let writers = try (0..<60).map { index in
            try Program([
                "/bin/dd", "if=/dev/zero", "of=\(mount.at("w\(index)"))", "bs=64k", "count=40",
            ])
        }
        sleepMilliseconds(1500)
        // Most of them wait, and yet there is somebody to answer.
        #expect(try names(mount.path).count > 1)
        mount.end()
        for writer in writers { _ = writer.wait() }
    }
}
