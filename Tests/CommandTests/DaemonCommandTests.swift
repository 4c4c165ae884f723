import Base
import FoundationEssentials
import Glibc
import Host
import Share
import Synchronization
import Testing

@testable import holdfast

/// The commands that ask a daemon, against one that runs in this process.
@Suite struct DaemonCommandTests {
    private func withDaemon(
        failure: CommandFailure? = nil, _ body: (Bench, FakeRunning) throws -> Void
    ) throws {
        let bench = Bench()
        let mountPoint = bench.folder.make("m")
        let share = bench.service.add("demo", at: mountPoint)
        bench.console.currentDirectory = mountPoint
        let running = FakeRunning(failure: failure)
        bench.service.state.withLock { $0.running = running }
        let log = Log(descriptor: open("/dev/null", O_WRONLY))
        let server = try ShareServer(
            share, ServeOptions(ParsedCommand(name: .mount)), service: bench.service, log: log)
        let waiter = try WorkerPool(threads: 1)
        waiter.submit { try? server.wait() }
        defer {
            running.stop()
            waiter.stop()
        }
        try body(bench, running)
    }

    @Test func `status tells people and programs`() throws {
        try withDaemon { bench, _ in
            #expect(bench.run("status", ".") == .success)
            #expect(bench.console.output.contains("demo\\u202e\n  mounted at  /m\n"))
            #expect(bench.console.output.contains("peers       1: \"bob\\x1b[2J\"\n"))
            #expect(bench.console.output.contains("files       3 (1.50 MB)\n"))
            #expect(bench.console.output.contains("pending     nothing\n"))
            #expect(bench.run("status", "--json") == .success)
            let json = bench.console.output
            #expect(json.hasSuffix("}\n") && json.split(separator: "\n").count == 1)
            for key in [
                "share", "name", "device", "mountpoint", "transport", "paused", "peers", "clock",
                "digest", "pending", "files", "bytes", "refused", "conflicts", "running",
            ] {
                #expect(json.contains("\"\(key)\":"))
            }
            #expect(json.contains(#""clock":{"a":1,"b":2}"#))
            #expect(json.contains(#""name":"demo\u202e""#))
            #expect(json.contains(#""running":true"#))
        }
    }

    @Test func `all shares are told of, those that do not run as well`() throws {
        try withDaemon { bench, _ in
            _ = bench.service.add("asleep", at: "/nowhere")
            #expect(bench.run("status") == .success)
            #expect(bench.console.output.contains("\n\nasleep\n  belongs at  /nowhere\n"))
            #expect(bench.run("status", "--json") == .success)
            #expect(bench.console.output.split(separator: "\n").count == 2)
            #expect(bench.run("status", "/nowhere") == .notRunning)
            #expect(
                bench.console.errors
                    == "holdfast: no daemon is running for this share: start it with holdfast mount\n"
            )
        }
    }

    @Test func `peers and log tell people and programs`() throws {
        try withDaemon { bench, running in
            #expect(bench.run("peers", ".") == .success)
            #expect(bench.console.output.hasPrefix("DEVICE      STATE      ADDRESS"))
            #expect(
                bench.console.output.contains(
                    "bob\\x1b[2J  connected  10.0.0.1:1  LAN   0.34 ms  10 bytes  123 kB"))
            #expect(bench.run("peers", ".", "--json") == .success)
            #expect(bench.console.output.hasPrefix("[\n{\"address\":\"10.0.0.1:1\""))
            #expect(bench.run("log") == .success)
            #expect(bench.console.output.contains("bob     write      a\\nb  5 bytes"))
            #expect(bench.run("log", "sub/../sub//gone.txt", "--limit", "7", "--json") == .success)
            let last = running.state.withLock { $0.requests.last }
            #expect(last == ControlRequest(.log, path: "sub/gone.txt", limit: 7))
            #expect(bench.run("log", "/etc/passwd") == .notFound)
        }
    }

    @Test func `restore says what and when, and what could not be`() throws {
        try withDaemon { bench, running in
            func last() -> ControlRequest? { running.state.withLock { $0.requests.last } }
            #expect(bench.run("restore", "sub/f", "--version", "3f9a2b1c.1.2") == .success)
            #expect(bench.console.output == "restored: 2 files, 0 folders\n")
            var request = ControlRequest(.restore, path: "sub/f")
            request.version = "3f9a2b1c.1.2"
            #expect(last() == request)
            #expect(
                bench.run("restore", "f", "--at", "@1700000000", "--to", "sub/g") == .success)
            request = ControlRequest(.restore, path: "f")
            request.at = 1_700_000_000_999
            request.target = "sub/g"
            #expect(last() == request)
            #expect(bench.run("restore", "f") == .usage)
            #expect(bench.run("restore", "f", "--at", "soon") == .usage)
            #expect(bench.run("restore", "f", "--at", "1h", "--to", "/etc/passwd") == .usage)
            #expect(bench.run("restore", "f", "--version", "gone") == .noPeer)
            #expect(bench.console.output.contains("bytes not here: a\\x1bb"))
            #expect(bench.run("retain", ".") == .success)
            #expect(bench.console.output.hasPrefix("every version for 30 days\n"))
            #expect(bench.run("retain", ".", "--all", "7", "--space", "500") == .success)
            #expect(bench.console.output.contains("every version for 7 days"))
            #expect(bench.console.output.contains("in 500 MB on each device"))
        }
    }

    @Test func `merging is shown, and set with a word on what it means for all members`() throws {
        try withDaemon { bench, running in
            func last() -> UInt64? { running.state.withLock { $0.requests.last?.mergeRules } }
            #expect(bench.run("merging", ".") == .success)
            #expect(bench.console.output.hasPrefix("texts are not merged"))
            #expect(last() == nil)
            #expect(bench.run("merging", ".", "--rules", "newest") == .success)
            #expect(last() == 1)
            #expect(bench.console.output.contains("texts merge by rules 1\n"))
            #expect(bench.console.output.contains("for every member"))
            #expect(bench.run("merging", ".", "--rules", "none") == .success)
            #expect(last() == 0)
            #expect(bench.run("merging", ".", "--rules", "soon") == .usage)
        }
    }

    @Test func `invite, pause and resume are passed on`() throws {
        try withDaemon { bench, running in
            #expect(bench.run("invite", ".") == .success)
            #expect(bench.console.output == "holdfast:word\n")
            #expect(bench.run("pause", ".") == .success)
            #expect(bench.run("resume", ".") == .success)
            let commands = running.state.withLock { $0.requests.map(\.command) }
            #expect(commands == [.invite, .pause, .resume])
        }
    }

    @Test func `unmount waits for the end and returns what became of it`() throws {
        try withDaemon { bench, running in
            // This process is the daemon and does not end: what `unmount` waits for last.
            let share = try #require(try bench.service.shares().first)
            let (response, process) = try ControlClient(folder: share.folder).ask(
                ControlRequest(.unmount))
            #expect(response.error == nil)
            #expect(process == getpid())
            #expect(running.state.withLock { $0.isStopped })
            // The answer goes out just before the socket goes away.
            for _ in 0..<5000 where access("\(share.folder)/control.sock", F_OK) == 0 {
                usleep(1000)
            }
            #expect(access("\(share.folder)/control.sock", F_OK) != 0)
        }
        let failure = CommandFailure(.general, "the disk is full")
        try withDaemon(failure: failure) { bench, _ in
            #expect(bench.run("unmount", ".") == .general)
            #expect(bench.console.errors == "holdfast: the disk is full\n")
        }
    }

    @Test func `unmount without daemon and mount says so`() {
        let bench = Bench()
        let mountPoint = bench.folder.make("m")
        _ = bench.service.add("demo", at: mountPoint)
        #expect(bench.run("unmount", mountPoint) == .notRunning)
        #expect(
            bench.console.errors
                == "holdfast: no share is mounted at \(mountPoint): nothing to do\n")
        #expect(bench.run("unmount", "/etc") == .notFound)
    }

    // MARK: Conflicts

    @Test func `conflicts are listed, and the exit code tells whether there are any`() throws {
        try withDaemon { bench, running in
            #expect(bench.run("conflicts") == .conflicts)
            #expect(bench.console.output.hasPrefix("a.txt\n  shown  77aa.2.0  bob"))
            #expect(bench.console.output.contains("alice (this device)"))
            #expect(bench.console.output.hasSuffix("\"a (conflict).txt\"\n"))
            #expect(
                bench.console.errors == "holdfast: 1 conflict: holdfast resolve settles them\n")
            #expect(bench.run("conflicts", ".", "--json") == .conflicts)
            #expect(bench.console.output.hasPrefix("[\n{\"hidden\":false,\"kind\":\"versions\""))
            running.hasConflict.withLock { $0 = false }
            #expect(bench.run("conflicts", "some/folder") == .success)
            #expect(bench.console.output == "there are no conflicts\n")
            #expect(running.state.withLock { $0.requests.last?.path } == "some/folder")
            #expect(bench.run("conflicts", "--json") == .success)
            #expect(bench.console.output == "[]\n")
        }
    }

    @Test func `resolve passes on what is to be kept`() throws {
        try withDaemon { bench, running in
            for word in ["ours", "theirs", "both", "77aa.2.0"] {
                #expect(bench.run("resolve", "a.txt", "--keep", word) == .success)
                #expect(bench.console.output == "a.txt: settled\n")
                let request = running.state.withLock { $0.requests.last }
                #expect(request == ControlRequest(.resolve, path: "a.txt", keep: word))
            }
            #expect(bench.run("resolve", "a.txt") == .usage)
            // A tool set in the environment does not stand in the way.
            bench.environment["HOLDFAST_TOOL"] = "false"
            #expect(bench.run("resolve", "a.txt", "--keep", "ours") == .success)
            #expect(bench.run("resolve") == .usage)
        }
    }

    @Test func `a tool merges the versions in files of its own`() throws {
        try withDaemon { bench, running in
            let folder = bench.folder.path + "/m"
            mkdir(folder + "/c", 0o700)
            for (name, text) in [("base", "0"), ("alice", "one"), ("bob", "two")] {
                try text.write(
                    toFile: "\(folder)/c/\(name).txt", atomically: false, encoding: .utf8)
            }
            let merge = "cat \"$BASE\" \"$MINE\" \"$THEIRS\" >\"$RESULT\"; [ $MERGED = $RESULT ]"
            #expect(bench.run("resolve", "a.txt", "--tool", merge) == .success)
            #expect(running.merged.withLock { $0 } == "0onetwo")
            let request = running.state.withLock { $0.requests.last }
            #expect(request?.seen == ["77aa.2.0", "3f9a.4.1"])
            #expect(request?.path == "a.txt")
            let file = try #require(request?.file)
            #expect(access(file, F_OK) != 0)
            // Named by a copy; a tool that names no variable gets four arguments.
            let script = folder + "/merge"
            try "#!/bin/sh\ncat $2 $3 >$4\n".write(
                toFile: script, atomically: false, encoding: .utf8)
            chmod(script, 0o700)
            #expect(bench.run("resolve", "a (conflict).txt", "--tool", script) == .success)
            #expect(running.merged.withLock { $0 } == "onetwo")
        }
    }

    @Test func `a tool that fails, or changes nothing, settles nothing`() throws {
        try withDaemon { bench, running in
            let folder = bench.folder.path + "/m"
            mkdir(folder + "/c", 0o700)
            for name in ["base", "alice", "bob"] {
                try name.write(
                    toFile: "\(folder)/c/\(name).txt", atomically: false, encoding: .utf8)
            }
            #expect(bench.run("resolve", "a.txt", "--tool", "echo x >$RESULT; exit 3") == .general)
            #expect(bench.console.errors.contains("ended with 3"))
            #expect(bench.run("resolve", "a.txt", "--tool", "true") == .conflicts)
            #expect(bench.run("resolve", "b.txt", "--tool", "true") == .notFound)
            let commands = running.state.withLock { $0.requests.map(\.command) }
            #expect(!commands.contains(.resolve))
        }
    }

    @Test func `explain tells people and programs`() throws {
        try withDaemon { bench, _ in
            #expect(bench.run("explain", "d/a.txt") == .success)
            #expect(
                bench.console.output == """
                    d/a.txt
                      made      77aa.2.0 by bob, 2026-08-01T00:00:00.000Z
                      named     77aa.2.0 by bob, 2026-08-01T00:00:00.000Z
                      changed   77aa.2.0 by bob, 2026-08-01T00:00:00.000Z
                      rule      one version follows all others: its bytes
                      shown     77aa.2.0 by bob, 2026-08-01T00:00:00.000Z, 5 bytes, after 3f9a.1.0

                    """)
            #expect(bench.run("explain", "d/a.txt", "--json") == .success)
            #expect(bench.console.output.contains("\"rule\":\"onlyHead\""))
        }
    }

    @Test func `explain names the base on which heads were merged`() {
        func cause(_ operation: String, _ device: String) -> ExplanationReport.Cause {
            .init(operation: operation, device: device, time: "2026-08-01T00:00:00.000Z")
        }
        let first = cause("3f9a.1.0", "alice")
        let heads = [("77aa.3.0", "bob", ["3f9a.1.0"]), ("3f9a.4.0", "alice", [])].map {
            ExplanationReport.Head(
                version: cause($0.0, $0.1), size: 5, parents: ["3f9a.1.0"], state: "shown",
                shownName: nil, bases: $0.2)
        }
        let text = ExplanationText.text(
            ExplanationReport(
                path: "a.txt", kind: "file", made: first, placed: first, changed: first, names: 1,
                unitedWith: [], rule: "merged", rulesVersion: 1, heads: heads, conflict: nil))
        #expect(
            text.hasSuffix(
                """
                  rule      what the heads changed is merged by version 1 of the rules
                  shown     77aa.3.0 by bob, 2026-08-01T00:00:00.000Z, 5 bytes, after 3f9a.1.0
                            merged with what was written before it, on the base 3f9a.1.0
                  shown     3f9a.4.0 by alice, 2026-08-01T00:00:00.000Z, 5 bytes, after 3f9a.1.0

                """))
    }

    @Test func `export writes outside the share, whether it is mounted or not`() throws {
        try withDaemon { bench, running in
            let share = try #require(try bench.service.shares().first)
            let target = bench.folder.path + "/out"
            #expect(bench.run("export", ".") == .usage)
            #expect(bench.run("export", ".", "--to", target, "--dry-run") == .usage)
            #expect(bench.run("export", ".", "--to", share.mountPoint + "/d") == .usage)
            #expect(bench.run("export", ".", "--to", share.folder + "/d") == .usage)
            #expect(bench.run("export", ".", "--to", target, "--device", "bob") == .success)
            #expect(bench.service.calls.last == "export \(share.folder) \(target) bob")
            #expect(bench.console.output.contains("3 blocks of bob do not count\n"))
            #expect(bench.console.output.contains("new    bob     5 bytes  late\\x1b\n"))
            #expect(bench.console.output.contains("written to \(target): 1 files (5 bytes)"))
            bench.service.state.withLock { $0.failure = CommandFailure(.inUse, "mounted") }
            #expect(bench.run("export", ".", "--dry-run", "--json") == .success)
            #expect(bench.console.output.contains("\"outcome\":\"written\""))
            let request = running.state.withLock { $0.requests.last }
            #expect(request?.command == .export && request?.target == nil)
        }
    }
}
