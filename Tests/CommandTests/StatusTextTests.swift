import Host
import Share
import Testing

@testable import holdfast

@Suite struct StatusTextTests {
    @Test(
        arguments: [
            (0, "0 bytes"), (999, "999 bytes"), (1000, "1.00 kB"), (1_509_999, "1.50 MB"),
            (12_345_678, "12.3 MB"), (123_456_789_012, "123 GB"), (UInt64.max, "18.4 EB"),
        ] as [(UInt64, String)])
    func `sizes are short`(bytes: UInt64, text: String) {
        #expect(StatusText.size(bytes) == text)
    }

    @Test func `columns stand in line`() {
        let text = StatusText.table(["A", "LONG", "C"], [["x", "y", ""], ["wide", "z", "end"]])
        #expect(
            text == """
                A     LONG  C
                x     y
                wide  z     end

                """)
    }

    @Test func `names from peers cannot act on a terminal`() {
        var status = ShareStatus()
        status.name = "evil\u{1b}]0;title\u{7}"
        status.device = "a\u{202e}b"
        status.mountpoint = "/m\n/n"
        status.peers = [
            .init(
                device: "x\u{200b}", key: "k\u{1b}", address: "y\r", state: "connected",
                bytesSent: 0, bytesReceived: 0)
        ]
        let share = KnownShare(id: "", name: "", mountPoint: "", folder: "")
        let report = StatusReport(ControlResponse(status: status), of: share)
        let entry = LogEntry(
            time: "\u{1b}", device: "\u{202e}", operation: "\u{0}", path: "\u{7}", detail: "\u{85}")
        let all =
            StatusText.summary(of: report) + StatusText.table(of: status.peers)
            + StatusText.table(of: [entry])
        for scalar in all.unicodeScalars where scalar != "\n" {
            #expect(scalar.value >= 0x20 && scalar.value < 0x7f)
        }
        #expect(all.contains("evil\\x1b]0;title\\x07"))
    }
}
