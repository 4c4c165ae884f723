import Testing

@testable import FuseMount

struct SymlinkPolicyTests {
    @Test(
        arguments: [
            ("a/b", 0), ("./a", 0), ("..", 1), ("../../a", 2), (".././../a/b", 2), ("", 0),
            ("/a", nil), ("a/..", nil), ("../a/../b", nil), ("..a/b", 0), ("//", nil),
        ] as [(String, Int?)])
    func `a target climbs at its beginning or not at all`(target: String, climbs: Int?) {
        #expect(SymlinkPolicy.climbs(Array(target.utf8)) == climbs)
    }
}
