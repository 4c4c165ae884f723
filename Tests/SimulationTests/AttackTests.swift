import Simulation
import Testing

/// What hostile nodes and addresses can do, small; `simulate attacks` prints it in full.
struct AttackTests {
    private var options: DHTOptions {
        var options = DHTOptions()
        options.nodes = 60
        return options
    }

    @Test func `twenty ports of one address do not take a topic away`() {
        let row = SybilScenario.run(
            options, hostile: 20, lies: true, spread: .oneAddress, lookups: 20)
        #expect(row.amongClosest == 20)
        #expect(row.kept >= 10)
        #expect(row.found == 20)
    }

    @Test func `nodes that swallow requests keep nobody from a topic`() {
        let row = SybilScenario.run(options, hostile: 20, lies: false, lookups: 20)
        #expect(row.amongClosest == 20 && row.kept >= 15 && row.found == 20)
    }

    @Test(arguments: [1, 2] as [UInt64])
    func `no forged or replayed announcement takes effect`(seed: UInt64) {
        let rows = ForgeryScenario.run(seed: seed)
        #expect(rows.count == 20)
        for row in rows where !row.isAllowed {
            #expect(!row.succeeded, "\(row.attempt): \(row.answer), seed \(seed)")
        }
    }

    @Test func `an address that proved nothing is sent three times its bytes and a small rest`() {
        let rows = AmplificationScenario.run(seed: 1, requests: 1000)
        #expect(rows.count == 14)
        // Five seconds of what the budget grants one network.
        let rest = (64 + 8 * 5 + 8) << 10
        for row in rows {
            #expect(row.ratio < 30, "\(row.command)")
            // DOWN_HINT has a third node pinged as well.
            #expect(
                row.sustainedReplyBytes <= 5 * row.sustainedRequestBytes + rest, "\(row.command)")
        }
    }

    @Test func `a flood of good announcements is taken no faster than the limits say`() throws {
        let row = try #require(FloodScenario.run(seed: 1, count: 5_000, origins: 100))
        #expect(row.sent == 5_000)
        // 2,000 at once, 500 in the half second.
        #expect((2000...2600).contains(row.taken))
    }
}
