import Base

/// A moment as people write it on a command line.
enum TimeArgument {
    private static let units: [Character: UInt64] = [
        "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800,
    ]

    /// - Parameters:
    ///   - text: `2026-11-21`, `2026-11-21T14:00`, `2026-11-21 14:00:05Z` (all UTC), `@SECONDS` since
    ///     1970, or `90m`, `2h`, `3d`, `1w` before now.
    ///   - now: milliseconds since 1970.
    /// - Returns: milliseconds since 1970; the last one of what is meant, so that `--at 2026-11-21` has all of
    ///   that day. Nil if it is none of these.
    static func milliseconds(_ text: String, now: UInt64) -> UInt64? {
        if text.hasPrefix("@") {
            guard let seconds = UInt64(text.dropFirst()), seconds < 1 << 40 else { return nil }
            return seconds * 1000 + 999
        }
        if let last = text.last, let unit = units[last], let count = UInt64(text.dropLast()) {
            let (span, overflow) = count.multipliedReportingOverflow(by: unit * 1000)
            return overflow || span > now ? 0 : now - span
        }
        return date(text)
    }

    private static func date(_ text: String) -> UInt64? {
        let bare = text.hasSuffix("Z") ? text.dropLast() : text[...]
        let halves = bare.split(omittingEmptySubsequences: false) { $0 == "T" || $0 == " " }
        guard halves.count <= 2, let days = halves.first.flatMap({ days($0) }) else { return nil }
        guard halves.count == 2 else { return (days + 1) * 86_400_000 - 1 }
        let parts = halves[1].split(separator: ":", omittingEmptySubsequences: false)
            .map { number($0, digits: 2) }
        guard (2...3).contains(parts.count), let hour = parts[0], let minute = parts[1],
            hour < 24, minute < 60
        else { return nil }
        let start = days * 86_400_000 + (hour * 60 + minute) * 60_000
        guard parts.count == 3 else { return start + 59_999 }
        guard let second = parts[2], second < 60 else { return nil }
        return start + second * 1000 + 999
    }

    /// Days since 1970 of a date of the Gregorian calendar.
    private static func days(_ text: Substring) -> UInt64? {
        let parts = text.split(separator: "-", omittingEmptySubsequences: false)
        guard parts.count == 3, let year = number(parts[0], digits: 4),
            let month = number(parts[1], digits: 2), let day = number(parts[2], digits: 2),
            year >= 1970, (1...12).contains(month)
        else { return nil }
        let isLeap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
        let lengths: [UInt64] = [31, isLeap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
        guard day >= 1, day <= lengths[Int(month) - 1] else { return nil }
        let before = year - 1
        let leapDays = before / 4 - before / 100 + before / 400
        // Those before 1970: 477.
        let years = (year - 1970) * 365 + leapDays - 477
        return years + lengths.prefix(Int(month) - 1).reduce(0, +) + day - 1
    }

    private static func number(_ text: Substring, digits: Int) -> UInt64? {
        guard text.count == digits, text.allSatisfy({ $0.isASCII && $0.isNumber }) else {
            return nil
        }
        return UInt64(text)
    }
}
