import Base
import Testing

@testable import FileTree

@Suite struct MovingForestTests {
    @Test(arguments: 0..<20)
    func `moved nodes are below what a walk finds them below`(_ seed: Int) {
        var rng = SeededRandom(seed: UInt64(seed))
        func below(_ count: Int) -> Int { Int.random(in: 0..<count, using: &rng) }
        var forest = MovingForest()
        var parents: [Int] = []
        let count = 2 + below(60)
        // Chains, and wide trees; some nodes hang from nothing.
        let reach = 1 + below(count)
        for node in 0..<count {
            #expect(forest.add() == node)
            parents.append(-1)
            guard node > 0, below(8) > 0 else { continue }
            parents[node] = max(0, node - 1 - below(reach))
            forest.link(node, below: parents[node])
        }
        func isInside(_ node: Int, _ ancestor: Int) -> Bool {
            var current = node
            while current >= 0, current != ancestor { current = parents[current] }
            return current == ancestor
        }
        for step in 0..<600 {
            let (node, other) = (below(count), below(count))
            let expected = isInside(other, node)
            #expect(forest.isInside(other, node) == expected, "seed \(seed), step \(step)")
            guard !expected else { continue }
            forest.cut(node)
            parents[node] = -1
            guard below(10) > 0 else { continue }
            forest.link(node, below: other)
            parents[node] = other
        }
    }
}
