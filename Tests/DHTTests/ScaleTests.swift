import Base
import DHT
import Foundation
import Testing
import Wire

/// Many nodes in one process. `HOLDFAST_NODES` sets how many.
struct ScaleTests {
    static let count =
        ProcessInfo.processInfo.environment["HOLDFAST_NODES"].flatMap { Int($0) } ?? 200

    /// Pages that this process holds in memory, in bytes.
    private func residentBytes() -> Int {
        guard let text = try? String(contentsOfFile: "/proc/self/statm", encoding: .utf8),
            let pages = text.split(separator: " ").dropFirst().first.flatMap({ Int($0) })
        else { return 0 }
        return pages * 4096
    }

    @Test func `thousands of nodes find each other in little memory`() {
        let before = residentBytes()
        let network = NodeNetwork(seed: 90)
        for number in 0..<Self.count {
            network.addPersistent()
            // The first ones slowly, then twenty a second.
            network.run(for: .milliseconds(number < 50 ? 200 : 50))
        }
        network.run(for: .seconds(60))
        let perNode = (residentBytes() - before) / Self.count
        let known = network.nodes.map(\.tableCount).sorted()
        print(
            "\(Self.count) nodes: \(perNode) B each with the network between them; they know",
            "\(known[0]) to \(known[known.count - 1]) others, half more than",
            known[known.count / 2])
        #expect(known[0] >= 20)
        if Self.count >= 2000 { #expect(perNode < 100_000) }

        // Walks from anywhere end at the same nodes.
        var agreed = 0
        var random = SeededRandom(seed: 91)
        for _ in 0..<10 {
            let target = Bytes32(random.bytes(32)) ?? .zero
            var answers: [[Bytes32?]] = []
            for _ in 0..<2 {
                let node = Int.random(in: 0..<Self.count, using: &random)
                let outcome = network.finish(node) {
                    $0.query(DHTQuery(.findNode, target: target), now: $1, into: &$2)
                }
                answers.append(outcome.closest.prefix(5).map(\.id))
            }
            if answers[0] == answers[1] { agreed += 1 }
        }
        #expect(agreed >= 8)
    }
}
