import Base
import Foundation
import Testing

@testable import TextMerge

/// Merges whose bytes may never change under rules version 1.
///
/// If one of these fails, devices that run different releases would show different files: the change
/// needs another version of the rules, and these files stay as they are.
@Suite struct GoldenTests {
    struct Case: Codable {
        var name: String
        /// The last common version, or several; the same for all heads.
        var bases: [String]
        /// In the order of operations.
        var heads: [String]
        var isLineLike: Bool
        /// Nil: a conflict.
        var merged: String?
    }

    private func cases(in file: String) throws -> [Case] {
        let url = try #require(
            Bundle.module.url(forResource: file, withExtension: "json", subdirectory: "Golden"))
        return try JSONDecoder().decode([Case].self, from: try Data(contentsOf: url))
    }

    private func merge(_ example: Case) -> String? {
        let result = HeadMerge.merge(
            first: Array(example.heads[0].utf8),
            steps: example.heads.dropFirst().map { head in
                .init(bases: example.bases.map { Array($0.utf8) }, head: Array(head.utf8))
            }, isLineLike: example.isLineLike)
        guard case .clean(let bytes) = result else { return nil }
        return String(decoding: bytes, as: UTF8.self)
    }

    @Test(arguments: [("handmade", 30), ("generated", 400)])
    func `published merges give the bytes they always gave`(_ file: String, _ count: Int) throws {
        let cases = try cases(in: file)
        #expect(cases.count >= count)
        for example in cases {
            let merged = merge(example).map { Array($0.utf8) }
            #expect(merged == example.merged.map { Array($0.utf8) }, "\(example.name)")
        }
    }

    /// How `generated.json` was made: `HOLDFAST_GOLDEN=file swift test --filter GoldenTests`.
    @Test(.enabled(if: ProcessInfo.processInfo.environment["HOLDFAST_GOLDEN"] != nil))
    func `write generated merges`() throws {
        var cases: [Case] = []
        for seed in 0..<UInt64(400) {
            var random = RandomText(seed: 0x601d_0000 + seed)
            let variety = 2 + random.below(11)
            let base = random.text(lines: [3, 8, 20][random.below(3)], variety: variety)
            let edits = 1 + random.below(4)
            let heads = (0..<2 + random.below(3) / 2).map { _ in
                random.edited(base, edits: edits, variety: variety).joined()
            }
            var example = Case(
                name: "seed \(0x601d_0000 + seed)", bases: [base.joined()], heads: heads,
                isLineLike: seed.isMultiple(of: 2), merged: nil)
            example.merged = merge(example)
            cases.append(example)
        }
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        let lines = try cases.map { String(decoding: try encoder.encode($0), as: UTF8.self) }
        let text = "[\n" + lines.joined(separator: ",\n") + "\n]\n"
        let path = ProcessInfo.processInfo.environment["HOLDFAST_GOLDEN"] ?? ""
        try text.write(toFile: path, atomically: true, encoding: .utf8)
    }
}
