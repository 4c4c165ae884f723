import Base
import Chunks
import Glibc
import Host
import Share
import Store

/// What local operations cost a share without FUSE, beside so many files as it has already.
struct TreeMeasuring {
    private enum Limits {
        static let filesPerFolder = 1000
        static let contentSize = 200
    }

    private let share: MeasuredShare
    private var volume: ShareVolume { share.volume }

    init(_ share: MeasuredShare) { self.share = share }

    /// Makes so many files, each with its own bytes, in folders of a thousand.
    func fill(_ count: Int) throws {
        let top = try make("filled", .directory, in: .root)
        var folder = top
        for index in 0..<count {
            if index % Limits.filesPerFolder == 0 {
                folder = try make("\(index / Limits.filesPerFolder)", .directory, in: top)
            }
            try save(try make("file \(index)", .file, in: folder), index)
            share.turn()
        }
        try volume.sync()
        share.turn()
    }

    /// Times each kind of operation on `count` files of one folder: microseconds, the mean, with all
    /// that sealing, signing and committing take.
    func operations(_ count: Int) throws -> [(String, Double)] {
        let folder = try make("work", .directory, in: .root)
        let other = try make("other", .directory, in: .root)
        let names = (0..<count).map { Array("file-\($0)".utf8) }
        var files: [NodeID] = []
        let steps: [(String, (Int) throws -> Void)] = [
            ("make", { files.append(try make("file-\($0)", .file, in: folder)) }),
            ("save", { try save(files[$0], $0) }),
            ("lookup", { _ = try volume.lookup(names[$0], in: folder) }),
            ("missing name", { try requireMissing("no-\($0)", in: folder) }),
            ("attributes", { _ = try volume.attributes(of: files[$0]) }),
            ("open", { _ = try volume.openContent(of: files[$0]) }),
            (
                "set attributes",
                {
                    let change = AttributeChange(mode: 0o600)
                    _ = try volume.setAttributes(of: files[$0], to: change)
                }
            ),
            (
                "rename",
                { _ = try volume.rename(names[$0], in: folder, to: names[$0], in: other, .replace) }
            ),
            ("unlink", { _ = try volume.unlink(names[$0], in: other) }),
        ]
        let figures = try steps.map { step in (step.0, try timed(count, step.1)) }
        _ = try volume.removeDirectory(Array("work".utf8), in: .root)
        _ = try volume.removeDirectory(Array("other".utf8), in: .root)
        try volume.sync()
        return figures
    }

    @inline(never)
    private func timed(_ count: Int, _ body: (Int) throws -> Void) throws -> Double {
        let start = monotonicNow()
        for index in 0..<count {
            try body(index)
            share.turn()
        }
        try volume.sync()
        share.turn()
        return (monotonicNow() - start).milliseconds * 1000 / Double(count)
    }

    private func make(_ name: String, _ kind: FileKind, in parent: NodeID) throws -> NodeID {
        let request = MakeRequest(
            kind: kind, mode: kind == .directory ? 0o755 : 0o644, uid: 0, gid: 0)
        return try volume.make(Array(name.utf8), in: parent, request).node
    }

    private func save(_ file: NodeID, _ index: Int) throws {
        let number = Array("\(index) ".utf8)
        let rest = [UInt8](repeating: 0x20, count: Limits.contentSize - number.count)
        _ = try volume.publish(
            Save(
                node: file, parents: [], content: .inline(number + rest), modified: wallNow(),
                settlesStaging: false))
    }

    private func requireMissing(_ name: String, in folder: NodeID) throws {
        do {
            _ = try volume.lookup(Array(name.utf8), in: folder)
        } catch .notFound {
            return
        }
        throw VolumeError.exists
    }
}

/// The part of `measure` that works on a state folder: `fill`, `operations` and `open`, each in a
/// process of its own, so that memory is told apart.
func measureTree(_ words: [String]) throws {
    guard words.count >= 2 else { throw MeasureError.usage }
    let (part, home) = (words[0], words[1])
    let count = words.count > 2 ? Int(words[2]) ?? 0 : 0
    if part == "return" { return try measureReturn(home: home, operations: count) }
    if part == "history" { return try measureHistory(home: home, making: count) }
    if part == "compact" { return try measureCompaction(home: home) }
    if part == "publish" { return try measurePublishing(home: home) }
    let start = monotonicNow()
    let share = try MeasuredShare(home: home)
    let tree = TreeMeasuring(share)
    switch part {
    case "fill":
        try tree.fill(count)
        let seconds = (monotonicNow() - start).milliseconds / 1000
        report("fill", [("seconds", rounded(seconds, 2))])
    case "operations":
        for (name, microseconds) in try tree.operations(count) {
            report(name, [("microseconds", rounded(microseconds, 1))])
        }
    case "open":
        let names = try share.volume.list(.root).count
        let seconds = (monotonicNow() - start).milliseconds / 1000
        report(
            "open",
            [
                ("seconds", rounded(seconds, 3)), ("names", Double(names)),
                ("MiB", rounded(Double(residentBytes()) / 1_048_576, 1)),
            ])
    default: throw MeasureError.usage
    }
}

enum MeasureError: Error, CustomStringConvertible {
    case usage
    var description: String {
        "usage: measure tree fill|operations|open|return|publish|history|compact HOME [COUNT]"
    }
}
