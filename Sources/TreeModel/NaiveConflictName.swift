internal import Base

/// The names of what could not have its own, written down from the rule:
/// `stem (conflict <device> <YYYY-MM-DD>).ext`, at most 255 bytes, with a hash where that is taken or cut.
struct NaiveConflictName {
    var base: [UInt8]
    var isDirectory: Bool
    var device: String
    /// Of the loser's time.
    var milliseconds: UInt64
    /// A hash of who lost.
    var identity: Bytes32

    /// The names to try, in order.
    var candidates: [[UInt8]] {
        [plain ?? named(hashDigits: 8).bytes]
            + (1...8).map { named(hashDigits: 8 * $0).bytes }
    }

    private var plain: [UInt8]? {
        let name = named(hashDigits: 0)
        return name.isCut ? nil : name.bytes
    }

    private func named(hashDigits: Int) -> (bytes: [UInt8], isCut: Bool) {
        let hash = hashDigits == 0 ? "" : " " + identity.hex.prefix(hashDigits)
        let words = Array(" (conflict \(cleanDevice) \(day)\(hash))".utf8)
        let (stem, suffix) = parts
        let cut = Self.whole(stem, upTo: max(0, 255 - words.count - suffix.count))
        return (cut + words + suffix, cut.count < stem.count)
    }

    /// A suffix is a dot and 1 to 15 plain characters at the end, with something before it.
    private var parts: (stem: [UInt8], suffix: [UInt8]) {
        let pieces = base.split(
            separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        guard !isDirectory, pieces.count > 1, let last = pieces.last, (1...15) ~= last.count,
            base.count > last.count + 1
        else { return (base, []) }
        let plain = Set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-".utf8)
        guard last.allSatisfy(plain.contains) else { return (base, []) }
        return (base.dropLast(last.count + 1), base.suffix(last.count + 1))
    }

    private var cleanDevice: String {
        let bytes = device.utf8.map { byte in
            byte < 0x20 || byte == 0x7f || "/()".utf8.contains(byte) ? UInt8(ascii: "_") : byte
        }
        return String(decoding: Self.whole(bytes, upTo: 64), as: UTF8.self)
    }

    /// At most so many bytes, no character of UTF-8 split.
    private static func whole(_ bytes: [UInt8], upTo count: Int) -> [UInt8] {
        guard bytes.count > count else { return bytes }
        func isInside(_ place: Int) -> Bool { bytes[place] & 0xc0 == 0x80 }
        let places = (0...3).map { count - $0 }.filter { $0 >= 0 }
        return Array(bytes.prefix(places.first { !isInside($0) } ?? count))
    }

    /// The day in UTC, counted off year by year and month by month.
    private var day: String {
        var days = milliseconds / 86_400_000
        var year: UInt64 = 1970
        func isLeap(_ year: UInt64) -> Bool {
            year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
        }
        while days >= (isLeap(year) ? 366 : 365) {
            days -= isLeap(year) ? 366 : 365
            year += 1
        }
        let months = [31, isLeap(year) ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
        var month = 0
        while days >= UInt64(months[month]) {
            days -= UInt64(months[month])
            month += 1
        }
        func digits(_ number: UInt64, _ count: Int) -> String {
            let text = String(number)
            return String(repeating: "0", count: max(0, count - text.count)) + text
        }
        return "\(digits(year, 4))-\(digits(UInt64(month) + 1, 2))-\(digits(days + 1, 2))"
    }
}
