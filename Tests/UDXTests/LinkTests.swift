import Base
import Simulation
import Testing
import UDX

/// How much of a link a stream gets, in virtual time. The same seed gives the same figures.
struct LinkTests {
    /// 100 Mbit/s, 50 ms there and back, a queue of 50 ms.
    static func conditions(loss: Double = 0) -> UDXLinkConditions {
        var conditions = UDXLinkConditions()
        conditions.loss = loss
        return conditions
    }

    @Test func `one loss in a hundred leaves most of the link, and more than CUBIC gets`() {
        let conditions = Self.conditions(loss: 0.01)
        let udx = UDXLink.measure(conditions, for: .seconds(4), seed: 1)
        let tcp = UDXLinkTCP.measure(conditions, for: .seconds(4), seed: 1)
        print("UDX \(udx)\nTCP \(tcp)")
        #expect(udx.share >= 0.8)
        #expect(tcp.share < udx.share / 4)
        let (first, second) = (
            UDXLink.measure(conditions, for: .milliseconds(500), seed: 1),
            UDXLink.measure(conditions, for: .milliseconds(500), seed: 1)
        )
        #expect(first == second)
    }

    @Test func `a link without loss is filled, and its queue is not`() throws {
        let udx = UDXLink.measure(Self.conditions(), for: .seconds(3), seed: 1)
        let tcp = UDXLinkTCP.measure(Self.conditions(), for: .seconds(3), seed: 1)
        print("UDX \(udx)\nTCP \(tcp)")
        #expect(udx.share >= 0.85)
        #expect(tcp.share >= 0.85)
        #expect(try #require(udx.roundTrip) < .milliseconds(75))
    }

    @Test func `a queue of a tenth of what the path holds is enough`() {
        var conditions = Self.conditions()
        conditions.queueBytes = 62_500
        let udx = UDXLink.measure(conditions, for: .seconds(3), seed: 2)
        #expect(udx.share >= 0.75, "\(udx)")
    }

    @Test func `one loss in twenty leaves more than half`() {
        let udx = UDXLink.measure(Self.conditions(loss: 0.05), for: .seconds(3), seed: 3)
        #expect(udx.share >= 0.6, "\(udx)")
    }
}
