import Base
import Glibc
import Host
import Share
import Synchronization
import Testing

@testable import holdfast

/// What mount(8) says to its helper, and what becomes of it.
@Suite struct MountHelperTests {
    private func options(_ words: String...) throws -> MountHelperOptions {
        try MountHelperOptions(words)
    }

    private func help(_ bench: Bench, _ words: String...) -> Int32 {
        bench.console.errors = ""
        return MountHelper(application: bench.application).run(words)
    }

    @Test func `a call is read as mount(8) makes it`() throws {
        let call = try MountHelperCall(["docs", "/mnt/docs", "-sfnv", "-o", "rw,a=\"b,c\",d=e\\,f"])
        #expect(call.source == "docs")
        #expect(call.directory == "/mnt/docs")
        #expect(call.options == ["rw", "a=b,c", "d=e,f"])
        #expect(call.isFake)
        #expect(call.isSloppy)
        #expect(
            try MountHelperCall(["-orw,,ro", "a", "b", "-t", "fuse.x"]).options == ["rw", "ro"])
        #expect(try MountHelperCall(["-r", "a", "b"]).options == ["ro"])
    }

    @Test(arguments: [
        [], ["a"], ["a", ""], ["a", "b", "c"], ["a", "b", "-o"], ["a", "b", "-x"],
        ["a", "b", "-N", "1"],
    ])
    func `a call that is none is refused`(_ words: [String]) {
        #expect(throws: CommandFailure.self) { try MountHelperCall(words) }
    }

    @Test func `options of fstab become options of mount`() throws {
        let read = try options(
            "ro", "allow_other", "suid", "dev", "noexec", "noatime", "owner=user", "uid=5", "gid=6",
            "cache_seconds=7", "transport=direct", "bootstrap=a:1,b:2", "home=/h", "setuid=me",
            "sync")
        #expect(
            read.words == [
                "--read-only", "--allow-other", "--suid", "--dev", "--noexec", "--sync",
                "--owner=user", "--uid=5", "--gid=6", "--cache-seconds=7", "--transport=direct",
                "--bootstrap=a:1", "--bootstrap=b:2",
            ])
        #expect(read.home == "/h")
        #expect(read.user == "me")
        let parsed = try CommandParser(environment: [:]).parse(["mount"] + read.words + ["/m"])
        guard case .run(let mount) = parsed else {
            Issue.record("\(parsed)")
            return
        }
        let serving = try ServeOptions(mount)
        #expect(serving.mounting == [.readOnly, .allowOther, .suid, .dev, .noExec, .sync])
        #expect(serving.look.owner == .user)
        #expect(serving.look.uid == 5)
        #expect(serving.look.gid == 6)
    }

    @Test func `lists of who may do what need the recorded owners`() throws {
        func serving(_ words: String...) throws -> ServeOptions {
            let words = ["mount"] + (try MountHelperOptions(words).words) + ["/m"]
            guard case .run(let mount) = try CommandParser(environment: [:]).parse(words) else {
                throw CommandFailure(.usage, "no command")
            }
            return try ServeOptions(mount)
        }
        #expect(try serving("acl", "owner=recorded").mounting == [.acl])
        #expect(try serving("acl", "noacl").mounting == [])
        for other in ["owner=user", "uid=5", "gid=6"] {
            #expect(throws: CommandFailure.self) { try serving("acl", other) }
            #expect(try serving(other).mounting == [])
        }
    }

    @Test func `the last of two opposite options holds`() throws {
        #expect(try options("ro", "rw").words == [])
        #expect(try options("rw", "ro").words == ["--read-only"])
        #expect(try options("noexec", "nosuid", "exec", "suid").words == ["--suid"])
        #expect(try options("setid", "nosetid").words == [])
        // mount(8) does not keep the order.
        #expect(try options("nosuid", "nodev", "devices", "setid").words == [])
    }

    @Test func `what is for mount(8) or the kernel is passed over`() throws {
        let read = try options(
            "defaults", "rw", "auto", "noauto", "user", "users", "owner", "group", "nofail",
            "_netdev", "x-systemd.automount", "x-a=b", "X-mount.mkdir", "comment=c", "relatime",
            "default_permissions", "lazytime", "user=me")
        #expect(read.words == [])
    }

    @Test(arguments: ["frob", "frob=1", "uid", "acl=1", "quota", "sync=1"])
    func `an option that is unknown is an error unless mount is sloppy`(_ option: String) throws {
        #expect(throws: CommandFailure.self) { try MountHelperOptions([option]) }
        #expect(try MountHelperOptions([option], isSloppy: true).words == [])
    }

    @Test func `a share is named by its name, its id or where it is mounted`() throws {
        let bench = Bench()
        let old = bench.folder.make("old")
        let new = bench.folder.make("new")
        _ = bench.service.add("demo", at: old)
        for source in ["demo", "id-demo", old] {
            #expect(help(bench, source, new) == 0, "\(source): \(bench.console.errors)")
            #expect(bench.started.last?.words.last == new)
            #expect(bench.started.last?.words.contains("--source=\(source)") == true)
            bench.service.state.withLock { $0.shares[0].mountPoint = old }
        }
        #expect(bench.service.calls.allSatisfy { $0 == "move demo \(new)" })
        #expect(help(bench, "demo", old, "-o", "ro") == 0)
        #expect(bench.started.last?.words.contains("--read-only") == true)
    }

    @Test func `two shares of one name must be told apart`() throws {
        let bench = Bench()
        _ = bench.service.add("demo", at: "/a")
        _ = bench.service.add("demo", at: "/b")
        #expect(help(bench, "demo", bench.folder.make("m")) == 1)
        #expect(bench.console.errors.contains("id-demo"))
    }

    @Test func `what fails is told in codes of mount(8)`() {
        let bench = Bench()
        let folder = bench.folder.make("m")
        _ = bench.service.add("demo", at: folder)
        #expect(help(bench, "other", folder) == 32)
        #expect(help(bench, "demo", "\(folder)/none") == 32)
        #expect(help(bench, "demo") == 1)
        #expect(help(bench, "demo", folder, "-o", "frob") == 1)
        #expect(bench.console.errors.hasPrefix("mount.fuse.holdfast: unknown mount option"))
        #expect(help(bench, "demo", folder, "-s", "-o", "frob") == 0)
        #expect(help(bench, "demo", folder, "-o", "uid=x") == 1)
        bench.report = StartReport(error: .init(message: "no", exitCode: ExitCode.denied.rawValue))
        #expect(help(bench, "demo", folder) == 1)
    }

    @Test func `a fake mount starts nothing`() {
        let bench = Bench()
        let folder = bench.folder.make("m")
        _ = bench.service.add("demo", at: folder)
        #expect(help(bench, "demo", folder, "-f") == 0)
        #expect(help(bench, "none", folder, "-f") == 32)
        #expect(bench.started.isEmpty)
    }

    @Test func `a link comes from a file that only its owner can read`() throws {
        let bench = Bench()
        let folder = bench.folder.make("m")
        let link = InviteLink(
            shareKey: Bytes32(repeating: 1), foundingLog: Bytes32(repeating: 2),
            inviteSeed: Bytes32(repeating: 3), name: "demo", addressHints: [])
        let file = "\(bench.folder.path)/link"
        let descriptor = open(file, O_WRONLY | O_CREAT, 0o644)
        let text = Array("\(link.text)\n".utf8)
        #expect(write(descriptor, text, text.count) == text.count)
        close(descriptor)
        chmod(file, 0o644)
        #expect(help(bench, file, folder) == 1)
        #expect(bench.console.errors.contains("chmod 600"))
        chmod(file, 0o600)
        #expect(help(bench, file, folder) == 0, "\(bench.console.errors)")
        #expect(bench.service.calls.first?.hasPrefix("join holdfast:") == true)
        #expect(bench.started.last?.words.contains("--source=\(file)") == true)
        #expect(bench.started.last?.words.contains { $0.contains("holdfast:") } == false)

        // The share it leads to is mounted again when it is there.
        let id = ShareKeys(shareKey: link.shareKey).shareID.hex
        bench.service.state.withLock { $0.shares[0].id = id }
        #expect(help(bench, file, folder) == 0)
        #expect(help(bench, link.text, folder) == 0)
        #expect(bench.service.calls.count == 1)
        #expect(bench.started.last?.words.contains("--source=holdfast") == true)
        #expect(help(bench, "\(bench.folder.path)/none", folder) == 32)
        #expect(help(bench, folder + "/..", folder) == 32)
        #expect(help(bench, "holdfast:nonsense", folder) == 1)
    }

    @Test func `root mounts for a user by becoming the user`() throws {
        try #require(geteuid() == 0)
        let bench = Bench()
        var seen: [[String]] = []
        var helper = MountHelper(application: bench.application)
        helper.becomeUser = { name, words throws(CommandFailure) in
            seen.append([name] + words)
            throw CommandFailure(.denied, "as asked")
        }
        #expect(helper.run(["demo", "/m", "-o", "setuid=alice"]) == 1)
        #expect(seen == [["alice", "demo", "/m", "-o", "setuid=alice"]])
    }
}
