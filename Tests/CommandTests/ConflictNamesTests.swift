import Base
import Testing

@testable import Share
@testable import holdfast

/// The names in `.holdfast/conflicts`.
@Suite struct ConflictNamesTests {
    private func folder(_ path: String...) -> String {
        String(decoding: ConflictNames.folder(of: path.map { Array($0.utf8) }), as: UTF8.self)
    }

    private func conflict(_ name: String, _ devices: [(name: String, seconds: Int64)])
        -> ShareConflict
    {
        let versions = devices.enumerated().map { index, device in
            ShareConflict.Version(
                id: "3f9a2b1c.\(index).0", node: NodeID(rawValue: 7), kind: .file,
                device: device.name, isOwn: false,
                time: Timestamp(seconds: device.seconds, nanoseconds: 0), size: 1,
                modified: .epoch, isShown: index == 0, shownName: nil, reason: .writtenLast,
                mode: 0o644, target: [])
        }
        return ShareConflict(
            path: ["d", name].map { Array($0.utf8) }, kind: .versions, versions: versions)
    }

    private func files(_ conflict: ShareConflict) -> [String] {
        ConflictNames.files(of: conflict).map { String(decoding: $0, as: UTF8.self) }
    }

    @Test func `a folder's name is the path, and tells it`() {
        #expect(folder("docs", "report.txt") == "+docs+report.txt")
        #expect(folder(".git", "HEAD") == "+.git+HEAD")
        #expect(
            ConflictNames.path(ofFolder: Array("+docs+report.txt".utf8))
                == ["docs", "report.txt"].map { Array($0.utf8) })
        for name in ["", "docs", "+", "++a", "+a+"] {
            #expect(ConflictNames.path(ofFolder: Array(name.utf8)) == nil)
        }
    }

    @Test func `paths that would have one name, or too long a one, are told apart`() {
        let names = [folder("a+b"), folder("a", "b"), folder("a+", "b"), folder("a", "+b")]
        #expect(Set(names).count == 4)
        #expect(names[0].hasPrefix("+a+b~"))
        let long = String(repeating: "ä", count: 120)
        let deep = folder(long, long, "end.txt")
        #expect(deep.utf8.count <= 255)
        #expect(deep.contains("+end.txt~"))
        #expect(!deep.contains("\u{fffd}"))
        #expect(deep != folder(long, long, long, "end.txt"))
    }

    @Test func `files are named for device and day, and told apart where these are equal`() {
        let day: Int64 = 1_785_542_400
        let plain = conflict("photo.jpg", [("alice", day), ("bob", day)])
        #expect(files(plain) == ["alice 2026-08-01.jpg", "bob 2026-08-01.jpg"])
        let twice = conflict("notes", [("alice", day), ("alice", day + 5)])
        #expect(
            files(twice) == ["alice 2026-08-01 3f9a2b1c.0.0", "alice 2026-08-01 3f9a2b1c.1.0"])
        #expect(ConflictNames.base(of: nil, in: plain) == Array("base.jpg".utf8))
    }

    @Test func `names from other devices can do no harm`() {
        let hostile = conflict(
            "x.../..", [("../../etc\n", 0), (String(repeating: "ж", count: 100), 1)])
        let names = files(hostile)
        #expect(names[0] == ".._.._etc_ 1970-01-01")
        for name in names {
            #expect(!name.contains("/") && name.utf8.count <= 255 && !name.contains("\u{fffd}"))
        }
    }
}
