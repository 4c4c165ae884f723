import Base
import Glibc
import Host
import Synchronization
import Testing

@Suite struct LogTests {
    @Test(
        arguments: [
            (0, 0, "1970-01-01T00:00:00.000Z"),
            (951_827_696, 5_999_999, "2000-02-29T12:34:56.005Z"),
            (1_785_542_399, 999_999_999, "2026-07-31T23:59:59.999Z"),
            (4_107_542_400, 0, "2100-03-01T00:00:00.000Z"),
            (-1, 0, "1969-12-31T23:59:59.000Z"),
            (-62_167_219_200, 0, "0000-01-01T00:00:00.000Z"),
            (Int64.max, 0, "9999-12-31T23:59:59.000Z"),
        ] as [(Int64, UInt32, String)])
    func `times are written as RFC 3339 has them`(
        seconds: Int64, nanoseconds: UInt32, expected: String
    ) {
        #expect(Log.text(of: Timestamp(seconds: seconds, nanoseconds: nanoseconds)) == expected)
    }

    @Test func `a line stays a line, with its time before it`() throws {
        let folder = TemporaryFolder()
        let path = "\(folder.path)/log"
        let descriptor = open(path, O_WRONLY | O_CREAT | O_APPEND, 0o600)
        let log = Log(descriptor: descriptor, clock: { .epoch })
        log.write("two\nlines \u{202e}")
        let text = String(decoding: try readWhole(path, limitBytes: 1 << 20), as: UTF8.self)
        #expect(text == "1970-01-01T00:00:00.000Z two\\nlines \\u202e\n")
        close(descriptor)
    }

    @Test func `a link never gets into a log`() {
        #expect(
            Log.redacted("joined by holdfast:ybndrfg8ejkmcpqxot1uwisza345h769ybndrfg8 at 5")
                == "joined by holdfast:(left out) at 5")
        #expect(Log.redacted("holdfast: not a link") == "holdfast: not a link")
    }

    @Test func `a flood is cut, counted, and does not fill the disk`() throws {
        let folder = TemporaryFolder()
        let path = "\(folder.path)/log"
        let descriptor = open(path, O_WRONLY | O_CREAT | O_APPEND, 0o600)
        let second = Atomic<Int>(0)
        let log = Log(descriptor: descriptor, path: path, bytesMax: 20_000) {
            Timestamp(seconds: Int64(second.load(ordering: .relaxed)))
        }
        for _ in 0..<1000 { log.write("x") }
        second.store(1, ordering: .relaxed)
        log.write("y")
        let text = String(decoding: try readWhole(path, limitBytes: 1 << 20), as: UTF8.self)
        #expect(text.split(separator: "\n").count == 102)
        #expect(text.contains("(900 more lines were left out)"))
        for round in 2..<20 {
            second.store(round, ordering: .relaxed)
            for _ in 0..<100 { log.write("zzzzzzzzzzzzzzz") }
        }
        var status = stat()
        #expect(stat(path, &status) == 0 && status.st_size <= 20_000)
        #expect(stat(path + ".1", &status) == 0 && status.st_size <= 20_000)
        close(descriptor)
    }
}
