import Simulation
import Testing

struct ConnectScenarioTests {
    @Test func `peers behind NATs connect through a network of nodes`() throws {
        var options = DHTOptions()
        options.nodes = 40
        let kinds: [NATKind] = [.open, .portRestricted, .symmetric]
        let pairs = ConnectScenario.run(options, kinds: kinds, attempts: 1)
        #expect(pairs.count == 9)
        for pair in pairs {
            if pair.client == .symmetric, pair.server == .symmetric {
                #expect(pair.failures.map(\.name) == ["doubleRandomized"])
            } else {
                #expect(pair.times.count == 1, "\(pair.client) to \(pair.server): \(pair.failures)")
            }
        }
        let open = try #require(pairs.first)
        #expect(open.paths.map(\.name) == ["direct"])
        #expect(try #require(open.times.median) < .seconds(1))
    }

    @Test func `where UDP is blocked nobody is found`() {
        var options = DHTOptions()
        options.nodes = 20
        let pairs = ConnectScenario.run(options, kinds: [.udpBlocked], attempts: 1)
        #expect(pairs.map { $0.failures.map(\.name) } == [["peerNotFound"]])
    }
}
