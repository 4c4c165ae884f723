import Glibc
import Testing

@testable import FuseMount

/// How often a call makes the kernel ask and wait: each time costs a program more than all that the
/// answer takes.
@Suite(.enabled(if: canMount), .serialized)
struct RequestTests {
    private typealias Counts = [RequestKind: UInt64]

    /// The requests that somebody waited for while `body` ran.
    private func requests(of mount: TestMount, _ body: () throws -> Void) rethrows -> Counts {
        let before = mount.mount.requests
        try body()
        let counts = mount.mount.requests.map { kind, count in
            (kind, count - (before[kind] ?? 0))
        }
        return Counts(uniqueKeysWithValues: counts.filter { $0.0.isWaitedFor && $0.1 > 0 })
    }

    private func createFile(_ path: String, _ bytes: [UInt8] = [1, 2, 3]) throws {
        let file = try check(open(path, O_WRONLY | O_CREAT | O_EXCL, 0o644))
        try writeAll(file, bytes)
        try check(close(file))
    }

    private func readOnce(_ path: String) throws {
        let file = try check(open(path, O_RDONLY))
        var buffer = [UInt8](repeating: 0, count: 4096)
        try check(read(file, &buffer, buffer.count))
        try check(close(file))
    }

    @Test
    func `looking again asks nothing`() throws {
        let mount = try TestMount()
        defer { mount.end() }
        try createFile(mount.at("a"))
        try check(symlink("a", mount.at("l")))
        _ = try status(mount.at("a"))
        _ = try status(mount.path)
        _ = try readFile(mount.at("l"))
        _ = code { _ = try status(mount.at("missing")) }
        let again = try requests(of: mount) {
            _ = try status(mount.at("a"))
            _ = try status(mount.path)
            var target = [CChar](repeating: 0, count: 100)
            try check(readlink(mount.at("l"), &target, 99))
            #expect(code { _ = try status(mount.at("missing")) } == ENOENT)
        }
        #expect(again == [:])
    }

    @Test
    func `a name that was missing is found as soon as it is made`() throws {
        let mount = try TestMount()
        defer { mount.end() }
        for name in ["made", "renamed", "linked"] {
            #expect(code { _ = try status(mount.at(name)) } == ENOENT)
        }
        try createFile(mount.at("made"))
        try check(link(mount.at("made"), mount.at("linked")))
        try check(rename(mount.at("made"), mount.at("renamed")))
        #expect(try status(mount.at("renamed")).st_nlink == 2)
        #expect(try status(mount.at("linked")).st_nlink == 2)
        #expect(code { _ = try status(mount.at("made")) } == ENOENT)
    }

    @Test
    func `what making, writing, renaming and removing a file ask`() throws {
        let mount = try TestMount()
        defer { mount.end() }
        try check(mkdir(mount.at("d"), 0o755))
        try createFile(mount.at("d/first"))
        let make = try requests(of: mount) { try createFile(mount.at("d/a")) }
        print(make)
        let mknod = try requests(of: mount) {
            try check(Glibc.mknod(mount.at("d/n"), S_IFREG | 0o644, 0))
        }
        print("mknod", mknod)
        let mkdir = try requests(of: mount) { try check(Glibc.mkdir(mount.at("d/d"), 0o755)) }
        print("mkdir", mkdir)
        let read = try requests(of: mount) { try readOnce(mount.at("d/a")) }
        print("read", read)
        let again = try requests(of: mount) { try readOnce(mount.at("d/a")) }
        print("again", again)
        let rename = try requests(of: mount) {
            try check(Glibc.rename(mount.at("d/a"), mount.at("d/b")))
        }
        print("rename", rename)
        let back = try requests(of: mount) {
            try check(Glibc.rename(mount.at("d/b"), mount.at("d/a")))
        }
        print("back", back)
        let over = try requests(of: mount) {
            try check(Glibc.rename(mount.at("d/a"), mount.at("d/first")))
        }
        print("over", over)
        let unlink = try requests(of: mount) { try check(Glibc.unlink(mount.at("d/first"))) }
        print("unlink", unlink)
        let rmdir = try requests(of: mount) { try check(Glibc.rmdir(mount.at("d/d"))) }
        print("rmdir", rmdir)
        let list = try requests(of: mount) { _ = try names(mount.at("d")) }
        print("list", list)
        let list2 = try requests(of: mount) { _ = try names(mount.at("d")) }
        print("list2", list2)
        let ls = try requests(of: mount) {
            _ = try Program(["/bin/ls", "-l", mount.at("d")]).wait()
        }
        print("ls", ls)
        let ls2 = try requests(of: mount) {
            _ = try Program(["/bin/ls", "-l", mount.at("d")]).wait()
        }
        print("ls2", ls2)
    }
}
