import Base

/// The names of what could not have its own: `stem (conflict <device> <YYYY-MM-DD>).ext`.
///
/// Pure, so that every device shows the same. At most 255 bytes: the stem is cut between characters, and a
/// cut name always carries a hash, since two stems may be cut to one.
struct ConflictName {
    let base: [UInt8]
    let kind: ObjectKind
    let device: String
    let time: HybridTime
    /// Stands for the loser's identity on every device.
    let identity: Bytes32

    /// In every conflict name, and so in any name that one could collide with.
    static let marker = Array(" (conflict ".utf8)

    static func isMarked(_ name: [UInt8]) -> Bool {
        guard name.count >= marker.count else { return false }
        return (0...name.count - marker.count).contains { start in
            name[start...].starts(with: marker)
        }
    }

    /// The names to try, one after the other, until one is free; the last ones are as good as unique.
    func candidate(_ attempt: Int) -> [UInt8] {
        let (stem, suffix) = split()
        let date = Self.date(of: time)
        func name(hashDigits: Int) -> (bytes: [UInt8], isCut: Bool) {
            let hash = hashDigits > 0 ? " \(identity.hex.prefix(hashDigits))" : ""
            let middle = Self.marker + Array("\(Self.cleaned(device)) \(date)\(hash))".utf8)
            let room = max(0, Limits.nameSizeMax - middle.count - suffix.count)
            let cut = stem.prefix(utf8Characters: room)
            return (cut + middle + suffix, cut.count < stem.count)
        }
        if attempt == 0 {
            let plain = name(hashDigits: 0)
            if !plain.isCut { return plain.bytes }
        }
        return name(hashDigits: min(8 * max(attempt, 1), 64)).bytes
    }

    static let attemptsMax = 9

    /// The suffix is what follows the last dot, if that is short and plain and not all there is.
    private func split() -> (stem: ArraySlice<UInt8>, suffix: ArraySlice<UInt8>) {
        let none = (stem: base[...], suffix: base[base.count...])
        guard kind != .directory, let dot = base.lastIndex(of: UInt8(ascii: ".")), dot > 0,
            (1...15).contains(base.count - dot - 1)
        else { return none }
        let isPlain = base[(dot + 1)...].allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "-"):
                true
            default: false
            }
        }
        return isPlain ? (base[..<dot], base[dot...]) : none
    }

    /// What of a device's name may stand in a file's: no slash, no control characters, no parentheses, since
    /// these end the conflict's part of a name; at most 64 bytes.
    private static func cleaned(_ device: String) -> String {
        let bytes = device.utf8.map { byte in
            switch byte {
            case 0..<0x20, 0x7f, UInt8(ascii: "/"), UInt8(ascii: "("), UInt8(ascii: ")"):
                UInt8(ascii: "_")
            default: byte
            }
        }
        return String(decoding: bytes[...].prefix(utf8Characters: 64), as: UTF8.self)
    }

    /// The day in UTC, as `2026-11-21`.
    private static func date(of time: HybridTime) -> String {
        // Days to civil date with years from March, so that the leap day is the last (Hinnant, "chrono-
        // compatible low-level date algorithms").
        let days = Int(time.milliseconds / 86_400_000) + 719_468
        let era = days / 146_097
        let dayOfEra = days % 146_097
        let yearOfEra =
            (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let monthFromMarch = (5 * dayOfYear + 2) / 153
        let day = dayOfYear - (153 * monthFromMarch + 2) / 5 + 1
        let month = monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9
        let year = era * 400 + yearOfEra + (month <= 2 ? 1 : 0)
        func padded(_ number: Int, _ digits: Int) -> String {
            let text = String(number)
            return String(repeating: "0", count: max(0, digits - text.count)) + text
        }
        return "\(padded(year, 4))-\(padded(month, 2))-\(padded(day, 2))"
    }
}

extension ArraySlice<UInt8> {
    /// At most `count` bytes from the front, cut between UTF-8 characters where the bytes are UTF-8.
    fileprivate func prefix(utf8Characters count: Int) -> ArraySlice<UInt8> {
        guard self.count > count else { return self }
        var end = startIndex + count
        // A character has at most three bytes of the form 10xxxxxx after its first.
        for _ in 0..<3 where end > startIndex && self[end] & 0xc0 == 0x80 { end -= 1 }
        return self[end] & 0xc0 == 0x80 ? self[..<(startIndex + count)] : self[..<end]
    }
}
