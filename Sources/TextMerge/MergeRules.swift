/// What is pinned of the merging of text, and the number it goes by.
///
/// Every device must compute the same bytes from the same versions, for ever. Nothing in this target may
/// change under a published number: another behaviour is another number, chosen in the share's settings.
/// The rules are written out in the article <doc:TextMerge>.
package enum MergeRules {
    /// The rules of this target.
    package static let version: UInt64 = 1

    /// The largest text that is merged, and that a merge may make, in bytes.
    package static let sizeMax = 4 << 20
    package static let linesMax = 100_000
    /// The most words in one side of a hunk that are compared one by one.
    package static let hunkWordsMax = 1 << 16
    /// How often a comparison goes into the gaps between what it has matched.
    static let depthMax = 32
    /// The largest product of the lengths of two sequences whose longest common subsequence is looked
    /// for; of lines, and of words.
    static let lineCellsMax = 1 << 24
    static let wordCellsMax = 1 << 20
    /// How many single steps insertions and removals slide in one comparison.
    static let slidesMax = 1 << 22

    /// Whether a file of this name is never merged: `HEAD` and `packed-refs`, in which git keeps references.
    ///
    /// A merge by words would make a reference of two that nobody had, and one by lines undo the order
    /// that git searches by.
    package static func isWhole(_ name: [UInt8]) -> Bool {
        ["HEAD", "packed-refs"].contains { Array($0.utf8) == name }
    }

    /// Whether lines stand for themselves in a file of this name: then two blocks inserted at one place
    /// are both kept.
    ///
    /// True for `.md`, `.txt`, `.org`, `.log` and `.csv` (letters of either case), for `.gitignore`, and
    /// for names without a suffix: without a dot, or with none but the first byte. Others may have an
    /// order that carries meaning.
    package static func isLineLike(_ name: [UInt8]) -> Bool {
        if name == Array(".gitignore".utf8) { return true }
        guard let dot = name.lastIndex(of: UInt8(ascii: ".")), dot > 0 else {
            return name.first != UInt8(ascii: ".")
        }
        let suffix = name[(dot + 1)...].map { (0x41...0x5a).contains($0) ? $0 | 0x20 : $0 }
        return ["md", "txt", "org", "log", "csv"].contains { Array($0.utf8) == suffix }
    }
}
