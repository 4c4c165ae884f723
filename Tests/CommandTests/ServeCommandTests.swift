import Base
import Glibc
import Host
import Testing

@testable import holdfast

/// create, join, mount and check, with the storage, the mount and the daemon faked.
@Suite struct ServeCommandTests {
    @Test func `create makes a share and starts its daemon with nothing secret in its words`() {
        let bench = Bench()
        let mountPoint = bench.folder.make("My Files")
        bench.console.currentDirectory = bench.folder.path
        let code = bench.run(
            "create", "./My Files/", "--peer", "a:1", "--peer=[::1]:2", "--listen", "127.0.0.1:0",
            "--device-name", "-x y", "--home", "state")
        // The daemon is faked, so nobody answers when it is asked for the link.
        #expect(code == .usage)
        #expect(
            bench.run(
                "create", "./My Files/", "--peer", "a:1", "--peer=[::1]:2", "--listen",
                "127.0.0.1:0", "--device-name=-x y", "--home", "state") == .notRunning)
        let words = ["--peer=a:1", "--peer=[::1]:2", "--listen=127.0.0.1:0", "--device-name=-x y"]
        #expect(bench.service.calls.first == "create My Files \(mountPoint) \(words)")
        #expect(bench.home == "state")
        #expect(bench.started.count == 1)
        #expect(
            bench.started.first?.words
                == ["mount", "--foreground", "--home=\(bench.folder.path)/state"] + words
                + ["--", mountPoint])
        #expect(bench.started.first?.logFile == "\(bench.folder.path)/My Files/daemon.log")
    }

    @Test func `the daemon's words are understood by the daemon`() throws {
        let bench = Bench()
        let mountPoint = bench.folder.make("m")
        _ = bench.service.add("demo", at: mountPoint)
        #expect(bench.run("mount", mountPoint, "--transport", "disabled") == .success)
        let words = try #require(bench.started.first?.words)
        guard case .run(let parsed) = try CommandParser(environment: [:]).parse(words) else {
            Issue.record("\(words)")
            return
        }
        #expect(parsed.name == .mount)
        #expect(parsed.arguments == [mountPoint])
        #expect(parsed.isSet("foreground"))
        #expect(parsed.value("transport") == "disabled")
    }

    @Test func `join takes the link from standard input and passes it to nobody else`() {
        let bench = Bench()
        let mountPoint = bench.folder.make("m")
        bench.console.input = ["holdfast:secret"]
        #expect(bench.run("join", "-", mountPoint) == .success)
        #expect(bench.service.calls == ["join holdfast:secret \(mountPoint) []"])
        #expect(bench.started.first?.words.contains { $0.contains("secret") } == false)
        #expect(bench.run("join", "-", bench.folder.make("n")) == .wrongLink)
    }

    @Test func `a share whose daemon does not come up leaves nothing behind`() {
        let bench = Bench()
        let mountPoint = bench.folder.make("m")
        bench.report = StartReport(error: .init(message: "no fuse here", exitCode: 8))
        #expect(bench.run("join", "holdfast:x", mountPoint) == .denied)
        #expect(bench.console.errors == "holdfast: no fuse here\n")
        #expect(bench.service.calls.last == "discard joined")
        // A share that was there before stays.
        _ = bench.service.add("demo", at: mountPoint)
        #expect(bench.run("mount", mountPoint) == .denied)
        #expect(bench.service.calls.last == "discard joined")
    }

    @Test func `places where nothing can be mounted are refused before anything is made`() {
        let bench = Bench()
        let folder = bench.folder.path
        let full = bench.folder.make("full")
        _ = bench.folder.make("full/inside")
        close(open("\(folder)/file", O_CREAT | O_WRONLY, 0o600))
        _ = bench.service.add("old", at: bench.folder.make("taken"))
        let table: [(String, ExitCode, String)] = [
            ("\(folder)/none", .notFound, "\(folder)/none does not exist: make it with mkdir"),
            ("\(folder)/file", .usage, "\(folder)/file is not a folder: choose an empty one"),
            (
                full, .general,
                "\(full) is not empty and a mount would hide what is in it: move that away, choose an empty folder, or say --nonempty"
            ),
            ("/proc", .inUse, "/proc is a mount of type proc: choose another folder"),
            (
                "\(folder)/taken", .inUse,
                "the share old belongs at \(folder)/taken: holdfast mount brings it back, or choose another folder"
            ),
        ]
        for (path, code, message) in table {
            #expect(bench.run("create", path) == code)
            #expect(bench.console.errors == "holdfast: \(message)\n")
            #expect(bench.run("join", "holdfast:x", path) == code)
        }
        #expect(bench.service.calls.isEmpty)
        #expect(bench.run("mount", full) == .notFound)
    }

    @Test func `links in the path of a mount point are resolved`() {
        let bench = Bench()
        let mountPoint = bench.folder.make("real")
        symlink(mountPoint, "\(bench.folder.path)/link")
        _ = bench.service.add("demo", at: mountPoint)
        #expect(bench.run("mount", "\(bench.folder.path)/link/") == .success)
    }

    @Test func `check is given the state, however it was named`() {
        let bench = Bench()
        let share = bench.service.add("demo", at: bench.folder.make("m"))
        #expect(bench.run("check", share.mountPoint) == .success)
        #expect(bench.console.output == "all \\x1bwell\n")
        #expect(bench.run("check", share.folder, "--rebuild") == .success)
        #expect(
            bench.service.calls == ["check \(share.folder) false", "check \(share.folder) true"])
    }

    @Test(arguments: [
        ("/a/b", "/a/b"), ("a", "/d/a"), (".", "/d"), ("..", "/"), ("../../x", "/x"),
        ("/a//b/./c/../", "/a/b"), ("/", "/"), ("/..", "/"),
    ])
    func `paths are made absolute`(path: String, expected: String) {
        #expect(PathText.absolute(path, in: "/d") == expected)
    }

    @Test func `what lies below a folder is told apart from what begins like it`() {
        #expect(PathText.part(of: "/m/a/b", below: "/m") == "a/b")
        #expect(PathText.part(of: "/m", below: "/m") == "")
        #expect(PathText.part(of: "/mm/a", below: "/m") == nil)
    }
}
