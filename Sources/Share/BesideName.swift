import FileTree

/// What something is called whose name is taken.
package enum BesideName {
    /// `stem (word).ext`, `stem (word 2).ext` …: at most 255 bytes.
    ///
    /// - Parameter attempt: from 1.
    package static func of(_ name: [UInt8], _ word: String, _ attempt: Int) -> [UInt8] {
        let mark = Array((attempt == 1 ? " (\(word))" : " (\(word) \(attempt))").utf8)
        let dot = name.lastIndex(of: 0x2e).flatMap { $0 > 0 ? $0 : nil } ?? name.count
        var stem = Array(name[..<dot])
        var suffix = Array(name[dot...])
        if suffix.count + mark.count >= FileTreeLimits.nameSizeMax { suffix = [] }
        let room = FileTreeLimits.nameSizeMax - mark.count - suffix.count
        if stem.count > room {
            stem = Array(stem.prefix(room))
            // Not within a character.
            while let last = stem.last, last & 0xc0 == 0x80 { stem.removeLast() }
            if let last = stem.last, last & 0x80 != 0 { stem.removeLast() }
        }
        return stem + mark + suffix
    }
}
