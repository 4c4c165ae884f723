extension Timestamp {
    /// UTC, as in `2026-08-01T12:34:56.789Z` (RFC 3339); of years 0 to 9999, others at the ends.
    package var text: String {
        let second = secondOfDay
        let clock =
            "\(padded(second / 3600, 2)):\(padded(second / 60 % 60, 2)):\(padded(second % 60, 2))"
        return "\(date)T\(clock).\(padded(Int(nanoseconds / 1_000_000), 3))Z"
    }

    /// The day in UTC, as in `2026-08-01`; within the same bounds.
    package var date: String {
        // The Gregorian calendar in eras of 400 years that begin on 1 March of year 0, so that the
        // leap day is a year's last: 719,468 days before 1970.
        let shifted = day + 719_468
        let era = shifted >= 0 ? shifted / 146_097 : (shifted - 146_096) / 146_097
        let dayOfEra = shifted - era * 146_097
        let yearOfEra =
            (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let marchMonth = (5 * dayOfYear + 2) / 153
        let day = dayOfYear - (153 * marchMonth + 2) / 5 + 1
        let month = marchMonth < 10 ? marchMonth + 3 : marchMonth - 9
        let year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
        return "\(padded(year, 4))-\(padded(month, 2))-\(padded(day, 2))"
    }

    /// Within years 0 to 9999.
    private var boundedSeconds: Int { Int(min(max(seconds, -62_167_219_200), 253_402_300_799)) }

    /// Since 1970.
    private var day: Int {
        boundedSeconds >= 0 ? boundedSeconds / 86_400 : (boundedSeconds - 86_399) / 86_400
    }

    private var secondOfDay: Int { boundedSeconds - day * 86_400 }
}

private func padded(_ number: Int, _ digits: Int) -> String {
    let text = "\(number)"
    return String(repeating: "0", count: max(0, digits - text.utf8.count)) + text
}
