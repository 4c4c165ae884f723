import Base
import Glibc
import Host
import Testing

/// The child is a shell that plays the daemon: descriptor 3 is its report.
@Suite struct DaemonTests {
    private func start(
        _ script: String, in folder: TemporaryFolder, timeout: Duration = .seconds(10)
    ) throws -> StartReport {
        try Daemon.start(
            arguments: ["-c", script], environment: ["PATH=/usr/bin:/bin", "MARK=kept"],
            logFile: "\(folder.path)/log", timeout: timeout, executable: "/bin/sh")
    }

    private func log(in folder: TemporaryFolder) throws -> String {
        String(decoding: try readWhole("\(folder.path)/log", limitBytes: 1 << 20), as: UTF8.self)
    }

    @Test func `the report of a child that is ready arrives`() throws {
        let folder = TemporaryFolder()
        let report = try start(
            #"echo out; echo err >&2; echo '{"lines":["one","two"]}' >&3"#, in: folder)
        #expect(report == StartReport(lines: ["one", "two"]))
        #expect(try log(in: folder) == "out\nerr\n")
    }

    @Test func `the report of a child that fails arrives with its exit code`() throws {
        let folder = TemporaryFolder()
        let report = try start(
            #"echo '{"lines":[],"error":{"message":"no","exitCode":11}}' >&3"#, in: folder)
        #expect(report.error == .init(message: "no", exitCode: 11))
    }

    @Test func `a child that dies without a word is reported, with where its log is`() throws {
        let folder = TemporaryFolder()
        let report = try start("exit 7", in: folder)
        #expect(report.error?.exitCode == 7)
        #expect(report.error?.message.contains("\(folder.path)/log") == true)
        #expect(try start("kill -9 $$", in: folder).error?.exitCode == 137)
        #expect(try start("exit 0", in: folder).error?.exitCode == 1)
    }

    @Test func `a child that says nothing is not waited for beyond the limit`() throws {
        let folder = TemporaryFolder()
        let begin = monotonicNow()
        #expect(throws: HostError.self) {
            _ = try start("echo $$; exec sleep 5", in: folder, timeout: .milliseconds(300))
        }
        #expect(monotonicNow() - begin < .seconds(3))
        if let process = Int32(try log(in: folder).split(separator: "\n").first ?? "") {
            kill(process, SIGKILL)
        }
    }

    @Test func `a child has its own session, the root as its directory, and nothing left open`()
        throws
    {
        let folder = TemporaryFolder()
        let leak = dup(0)
        defer { close(leak) }
        let script = #"""
            pwd; echo "$MARK $HOLDFAST_READINESS"
            ls -x /proc/$$/fd
            cut -d' ' -f1,6 /proc/$$/stat
            grep -E 'SigBlk|SigIgn' /proc/self/status
            echo '{"lines":[]}' >&3
            """#
        let report = try start(script, in: folder)
        #expect(report.error == nil)
        let text = try log(in: folder)
        #expect(text.contains("/\nkept 3\n"), "\(text)")
        #expect(text.contains("0  1  2  3\n"), "\(text)")
        let ids = text.split(separator: "\n")[3].split(separator: " ")
        #expect(ids.count == 2 && ids[0] == ids[1], "not a session of its own: \(text)")
        #expect(text.contains("SigBlk:\t0000000000000000"), "\(text)")
        // Signals 32 and 33 are the C library's own and stay as they were.
        let ignored = text.split(separator: "\t").last.flatMap {
            UInt64($0.prefix { $0.isHexDigit }, radix: 16)
        }
        #expect(ignored.map { $0 & ~0x1_8000_0000 } == 0, "\(text)")
    }

    @Test func `a report is made once, to whoever waits`() throws {
        var ends: [Int32] = [0, 0]
        pipe(&ends)
        let reporter = StartReporter(variable: "\(ends[1])")
        #expect(reporter.isAwaited)
        reporter.report(StartReport(lines: ["x"]))
        reporter.report(StartReport(lines: ["y"]))
        #expect(!reporter.isAwaited)
        #expect(
            try readWhole(ends[0], "pipe", limitBytes: 1000) == Array("{\"lines\":[\"x\"]}\n".utf8))
        close(ends[0])
        #expect(!StartReporter(variable: nil).isAwaited)
        #expect(!StartReporter(variable: "no").isAwaited)
        #expect(!StartReporter(variable: "999999").isAwaited)
    }
}
