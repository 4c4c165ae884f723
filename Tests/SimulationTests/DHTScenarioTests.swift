import Simulation
import Testing

/// Small networks with asserted results; `Scripts/simulate` runs the large ones.
struct DHTScenarioTests {
    private func options(_ nodes: Int) -> DHTOptions {
        var options = DHTOptions()
        options.nodes = nodes
        options.topics = 15
        options.lookups = 60
        options.duration = .seconds(60)
        return options
    }

    @Test(arguments: [1, 2] as [UInt64])
    func `every lookup among 120 nodes finds its peer in few steps`(seed: UInt64) throws {
        var options = options(120)
        options.seed = seed
        let result = DHTScenario.run(options)
        #expect(result.nodes == 120 && result.persistent == 60, "seed \(seed)")
        #expect(result.announcements.count == 15 && result.announcements.successShare == 1)
        #expect(result.lookups.count == 60 && result.lookups.successShare >= 0.99)
        #expect(try #require(result.announcements.committed.median) >= 19)
        #expect(result.lookups.hops.mean < 2)
        #expect(try #require(result.lookups.hopsToClosest.quantile(1)) <= 6)
        #expect(result.lookups.messages.mean < 40)
        #expect(try #require(result.lookups.timeToFind.quantile(0.9)) < .seconds(1))
    }

    @Test func `lookups succeed while nodes come and go and datagrams are lost`() {
        var options = options(80)
        options.sessionMean = .seconds(300)
        options.loss = 0.05
        options.duration = .seconds(180)
        let result = DHTScenario.run(options)
        #expect(result.left > 35)
        #expect(result.lookups.count > 50)
        #expect(result.lookups.successShare >= 0.99)
    }

    @Test func `the same seed is the same run of the DHT`() {
        func figures() -> [Int] {
            let result = DHTScenario.run(options(40))
            return [
                result.datagrams, result.lookups.succeeded, Int(result.lookups.messages.mean * 100),
            ]
        }
        #expect(figures() == figures())
    }

    @Test func `a logarithm and a power are told apart`() {
        let sizes = [100, 1000, 10_000]
        let logarithm = GrowthScenario.Fit(sizes.enumerated().map { ($1, Double($0 + 2)) })
        #expect(logarithm.determination > 0.999)
        #expect((0.29...0.31).contains(logarithm.perDoubling))
        let root = GrowthScenario.Fit(zip(sizes, [10, 31.6, 100]).map { ($0, $1) })
        #expect((0.49...0.51).contains(root.power))
    }
}
