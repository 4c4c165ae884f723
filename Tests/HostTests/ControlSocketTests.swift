import Base
import Glibc
import Host
import Share
import Testing

@Suite struct ControlSocketTests {
    /// A server in a folder, asked by `body`.
    private func withServer(
        longerBy extra: Int = 0,
        _ handler: @escaping ControlServer.Handler = { line, reply in reply(line) },
        _ body: (ControlClient, EventLoop) throws -> Void
    ) throws {
        let folder = TemporaryFolder(longerBy: extra)
        let loop = try EventLoop()
        let server = try ControlServer(
            loop: loop, folder: folder.path, log: LineLog(), handler: handler)
        try loop.start()
        server.start()
        defer {
            server.stop()
            loop.stop()
        }
        try body(ControlClient(folder: folder.path), loop)
    }

    private static let soon = Duration.seconds(5)

    @Test func `a request is answered, and the daemon's process is known`() throws {
        try withServer { (client, _) throws in
            let (answer, process) = try client.ask(Array("hello".utf8), timeout: Self.soon)
            #expect(answer == Array("hello".utf8))
            #expect(process == getpid())
        }
    }

    @Test func `the socket is for its owner alone`() throws {
        try withServer { (client, _) throws in
            var status = stat()
            #expect(stat("\(client.folder)/control.sock", &status) == 0)
            #expect(status.st_mode & 0o777 == 0o600)
        }
    }

    @Test(arguments: [0, 60, 150, 1500])
    func `a folder's path may be long`(extra: Int) throws {
        try withServer(longerBy: extra) { (client, _) throws in
            #expect(try client.ask([1], timeout: Self.soon).answer == [1])
        }
    }

    @Test func `answers may come late, from another thread, in any order`() throws {
        let pool = try WorkerPool(threads: 4)
        defer { pool.stop() }
        try withServer { line, reply in
            pool.submit {
                usleep(UInt32(line.first ?? 0) * 1000)
                reply(line)
            }
        } _: { (client, _) throws in
            let askers = try WorkerPool(threads: 4)
            for number in UInt8(21)...32 {
                askers.submit {
                    let answer = try? client.ask([number], timeout: Self.soon).answer
                    #expect(answer == [number])
                }
            }
            askers.stop()
        }
    }

    @Test func `a large answer arrives whole`() throws {
        let answer = [UInt8](repeating: 65, count: 10_000_000)
        try withServer { _, reply in
            reply(answer)
        } _: { (client, _) throws in
            #expect(try client.ask([1], timeout: Self.soon).answer == answer)
        }
    }

    @Test func `a request that does not end is not kept for ever, nor one that is too long`() throws
    {
        try withServer { (client, _) throws in
            #expect(throws: (any Error).self) {
                _ = try client.ask([UInt8](repeating: 65, count: 100_000), timeout: Self.soon)
            }
            // Others are served meanwhile.
            #expect(try client.ask([1], timeout: Self.soon).answer == [1])
        }
    }

    @Test func `without a daemon the client says so`() throws {
        let folder = TemporaryFolder()
        let client = ControlClient(folder: folder.path)
        #expect(throws: HostError.notRunning) { _ = try client.ask(ControlRequest(.status)) }
        // A socket left behind by a daemon that was killed.
        let loop = try EventLoop()
        do {
            _ = try ControlServer(loop: loop, folder: folder.path, log: LineLog()) { $1($0) }
        }
        #expect(access("\(folder.path)/control.sock", F_OK) == 0)
        #expect(throws: HostError.notRunning) { _ = try client.ask(ControlRequest(.status)) }
        // It is replaced by the next one.
        let again = try ControlServer(loop: loop, folder: folder.path, log: LineLog()) { $1($0) }
        try loop.start()
        again.start()
        #expect(try client.ask([1], timeout: Self.soon).answer == [1])
        // And a second one is refused while it lives.
        #expect(throws: (any Error).self) {
            _ = try ControlServer(loop: loop, folder: folder.path, log: LineLog()) { $1($0) }
        }
        again.stop()
        #expect(access("\(folder.path)/control.sock", F_OK) != 0)
        loop.stop()
    }

    @Test func `a daemon that never answers is waited for until the limit only`() throws {
        try withServer({ _, _ in }) { (client, _) throws in
            let start = monotonicNow()
            #expect(throws: HostError.timedOut("waiting for an answer")) {
                _ = try client.ask([1], timeout: .milliseconds(200))
            }
            #expect(monotonicNow() - start < .seconds(2))
        }
    }

    @Test func `typed requests are understood; nonsense is told so`() throws {
        let folder = TemporaryFolder()
        let loop = try EventLoop()
        let server = try ControlServer(loop: loop, folder: folder.path, log: LineLog()) {
            request, reply in
            var status = ShareStatus()
            status.name = "\(request.command) \(request.path ?? "-") \(request.limit ?? 0)"
            reply(ControlResponse(status: status))
        }
        try loop.start()
        server.start()
        let client = ControlClient(folder: folder.path)
        let (response, _) = try client.ask(ControlRequest(.log, path: "a/b\u{202e}", limit: 7))
        #expect(response.status?.name == "log a/b\u{202e} 7")
        for nonsense in [
            "", "{}", "[1]", "{\"command\":\"explode\"}", "\u{0}",
            String(repeating: "[", count: 60_000), "{\"command\":\"log\",\"limit\":1e999}",
        ] {
            let answer = try client.ask(Array(nonsense.utf8), timeout: Self.soon).answer
            let text = String(decoding: answer, as: UTF8.self)
            #expect(text.contains("\"exitCode\":1"), "\(nonsense)")
        }
        server.stop()
        loop.stop()
    }
}
