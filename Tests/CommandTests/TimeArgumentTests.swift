import Testing

@testable import holdfast

@Suite struct TimeArgumentTests {
    private let now: UInt64 = 1_800_000_000_000

    @Test(
        arguments: [
            ("@0", 999), ("@1700000000", 1_700_000_000_999),
            ("1970-01-01", 86_399_999), ("2000-02-29T12:30", 951_827_459_999),
            ("2026-11-21T14:00:05Z", 1_795_269_605_999), ("2026-11-21 14:00:05", 1_795_269_605_999),
            ("90m", 1_799_994_600_000), ("2h", 1_799_992_800_000), ("1d", 1_799_913_600_000),
            ("30s", 1_799_999_970_000), ("1w", 1_799_395_200_000), ("99999999999999999d", 0),
        ] as [(String, UInt64)])
    func `a moment is read as it is written`(text: String, milliseconds: UInt64) {
        #expect(TimeArgument.milliseconds(text, now: now) == milliseconds)
    }

    @Test(arguments: [
        "", "@", "@-1", "@9999999999999999", "yesterday", "m", "2026", "2026-13-01", "2026-02-29",
        "2026-00-10", "2026-1-1", "2026-11-21T", "2026-11-21T24:00", "2026-11-21T10:60",
        "2026-11-21T10:00:60", "2026-11-21T10", "2026-11-21T10:00:00:00", "1969-01-01", "+1-01-01",
    ])
    func `what is no moment is refused`(text: String) {
        #expect(TimeArgument.milliseconds(text, now: now) == nil)
    }
}
