import Base
import Crypto
import Share

/// The names in `.holdfast/conflicts`.
enum ConflictNames {
    private static let plus = UInt8(ascii: "+")
    private static let nameSizeMax = 255

    /// Of a conflict's folder: its path with each slash as a plus, as in `+docs+report.txt`. Where that
    /// would say too little, or be too long, the digits of a hash follow.
    static func folder(of path: [[UInt8]]) -> [UInt8] {
        let name = path.flatMap { [plus] + $0 }
        let isPlain = path.allSatisfy { !$0.contains(plus) }
        guard !isPlain || name.count > nameSizeMax else { return name }
        let hash = Blake2b.hash256(path.flatMap { $0 + [0] }).hex.prefix(8)
        let end = Array("~\(hash)".utf8)
        // The end of a path says more than its beginning; half a character says nothing.
        let kept = name.suffix(nameSizeMax - end.count).drop { $0 & 0xc0 == 0x80 }
        return kept + end
    }

    /// The path that a folder's name tells.
    static func path(ofFolder name: [UInt8]) -> [[UInt8]]? {
        guard name.first == plus else { return nil }
        let parts = name.dropFirst().split(separator: plus, omittingEmptySubsequences: false)
        return parts.allSatisfy { !$0.isEmpty } ? parts.map(Array.init) : nil
    }

    /// Of each version's file: device and day, and the version where two would have one name; with the
    /// suffix of the contested name, by which programs know what is in it.
    static func files(of conflict: ShareConflict) -> [[UInt8]] {
        let suffix = suffix(of: conflict.path.last ?? [])
        let plain = conflict.versions.map { "\(cleaned($0.device)) \($0.time.date)" }
        return zip(conflict.versions, plain).map { version, name in
            let isUnique = plain.filter { $0 == name }.count == 1
            return Array((isUnique ? name : "\(name) \(version.id)").utf8) + suffix
        }
    }

    /// Of what a version and the one shown come from.
    ///
    /// - Parameter file: the version's; nil if there are but two.
    static func base(of file: [UInt8]?, in conflict: ShareConflict) -> [UInt8] {
        guard let file else {
            return Array("base".utf8) + suffix(of: conflict.path.last ?? [])
        }
        return Array("base of ".utf8) + file
    }

    /// What follows the last dot, with it, if that is short and plain and not all there is.
    private static func suffix(of name: [UInt8]) -> [UInt8] {
        guard let dot = name.lastIndex(of: UInt8(ascii: ".")), dot > 0,
            (1...15).contains(name.count - dot - 1),
            name[(dot + 1)...].allSatisfy({ (0x30...0x7a).contains($0) && $0 != 0x5c })
        else { return [] }
        return Array(name[dot...])
    }

    private static func cleaned(_ device: String) -> String {
        let bytes = device.utf8.map { byte in
            byte < 0x20 || byte == 0x7f || byte == UInt8(ascii: "/") ? UInt8(ascii: "_") : byte
        }
        // A name of 64 bytes leaves room for day, version and suffix.
        let cut = bytes.count > 64 ? bytes[..<64].prefix { $0 < 0x80 } : bytes[...]
        return String(decoding: cut, as: UTF8.self)
    }
}
