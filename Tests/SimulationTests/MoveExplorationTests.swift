import Simulation
import Testing

@Suite struct MoveExplorationTests {
    @Test func `every small history of moves gives one tree, in whatever order it arrives`() throws
    {
        let small = try MoveExploration.run(directories: 3, moves: 3, everyBatch: true)
        #expect(small.failures.isEmpty, "\(small.failures)")
        #expect(small.histories > 100)
        let wide = try MoveExploration.run(directories: 4, moves: 4, everyBatch: false)
        #expect(wide.failures.isEmpty, "\(wide.failures)")
        #expect(wide.histories > 2900)
    }
}
