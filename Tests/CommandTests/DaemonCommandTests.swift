import Base
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
}
