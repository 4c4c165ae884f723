import Testing
import Wire

@testable import DHT

/// The table of `connect.md` 4.4.
struct PunchAnalysisTests {
    /// Samples as "host:port" by short numbers: 11 is host 1 port 1.
    private func analysis(_ samples: [Int], isFirewalled: Bool = true) -> PunchAnalysis {
        var analysis = PunchAnalysis(isFirewalled: isFirewalled)
        for (index, sample) in samples.enumerated() {
            analysis.add(
                Self.endpoint(sample),
                from: NetworkEndpoint(address: .v4(UInt32(index + 1)), port: 1),
                isFirewalled: isFirewalled)
        }
        return analysis
    }

    private static func endpoint(_ code: Int) -> NetworkEndpoint {
        NetworkEndpoint(address: .v4(UInt32(code / 10)), port: UInt16(code % 10))
    }

    @Test(arguments: [
        ([], DHT.NATKind.unknown), ([11], .unknown), ([11, 11], .unknown),
        ([11, 11, 11], .consistent), ([11, 12, 13], .random), ([11, 12, 13, 14], .random),
        ([11, 11, 12], .unknown), ([11, 11, 12, 13], .random), ([11, 11, 12, 11], .consistent),
        ([11, 11, 21, 21], .consistent), ([11, 11, 21], .unknown), ([11, 11, 21, 22], .unknown),
        ([11, 11, 21, 22, 31], .random), ([11, 21, 31], .random),
        ([12, 11, 11, 11], .consistent),
    ])
    func `samples give the kind of the table`(_ samples: [Int], _ kind: DHT.NATKind) {
        #expect(analysis(samples).kind == kind)
    }

    @Test func `the analysis ends when it is consistent or has four samples`() {
        #expect(!analysis([11, 11]).isSettled)
        #expect(analysis([11, 11, 11]).isSettled)
        #expect(!analysis([11, 12, 13]).isSettled)
        #expect(analysis([11, 12, 13, 14]).isSettled)
        var ended = analysis([11])
        ended.end()
        #expect(ended.isSettled && ended.kind == .unknown && ended.addresses == nil)
    }

    @Test func `addresses are those that others may use`() {
        #expect(analysis([11, 11]).addresses == nil)
        #expect(analysis([11, 12, 12, 12]).addresses == [12, 11].map(Self.endpoint))
        #expect(analysis([11, 11, 21, 21]).addresses == [11, 21].map(Self.endpoint))
        // The host that was seen most, without a port.
        #expect(analysis([11, 12, 13, 14]).addresses == [Self.endpoint(10)])
    }

    @Test func `an open node's kind needs one sample and no address`() {
        let none = PunchAnalysis(isFirewalled: false)
        #expect(none.kind == .open && !none.isSettled)
        let one = analysis([11], isFirewalled: false)
        #expect(one.kind == .open && one.isSettled && one.addresses == nil)
    }

    @Test func `one node has one word, and a frozen analysis stays`() {
        var analysis = PunchAnalysis(isFirewalled: true)
        let observer = NetworkEndpoint(address: .v4(1), port: 1)
        for _ in 0..<5 { analysis.add(Self.endpoint(11), from: observer, isFirewalled: true) }
        #expect(analysis.sampleCount == 1 && analysis.kind == .unknown)

        var frozen = self.analysis([11, 11, 11])
        frozen.isFrozen = true
        let before = (frozen.kind, frozen.addresses)
        for port in 20..<40 {
            frozen.add(
                NetworkEndpoint(address: .v4(7), port: UInt16(port)),
                from: NetworkEndpoint(address: .v4(9), port: UInt16(port)), isFirewalled: true)
        }
        #expect(frozen.kind == before.0 && frozen.addresses == before.1)
        #expect(frozen.sampleCount <= 32)
    }
}
