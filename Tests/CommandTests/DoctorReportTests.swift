import Testing
import Wire

@testable import holdfast

@Suite struct DoctorReportTests {
    private let machine = MachineFacts(
        helper: "/usr/bin/fusermount3", helperRunsAsRoot: true, libraryVersion: "3.14.0",
        kernelRelease: "6.1.0-18-amd64", joinsDatagrams: true, isClockSynchronized: true,
        wallSeconds: 1_790_000_000)

    private func endpoint(_ host: UInt32, _ port: UInt16) -> NetworkEndpoint {
        NetworkEndpoint(address: .v4(host), port: port)
    }

    /// A network in which nodes 1, 2, 3… see this machine where `mapped` says.
    private func network(_ mapped: [NetworkEndpoint]) -> NetworkFacts {
        var facts = NetworkFacts(clientPort: 4000, localAddresses: [.v4(0xc0a8_0102)])
        for (index, mapped) in mapped.enumerated() {
            let observer = endpoint(0x0501_0101 + UInt32(index), 49737)
            facts.bootstrap.append(.init(address: "\(observer)", roundTrip: .milliseconds(12)))
            facts.samples.append(.init(observer: observer, mapped: mapped))
            facts.roundTrips.append(.milliseconds(12))
        }
        return facts
    }

    private func silence(_ problem: String? = nil) -> NetworkFacts {
        NetworkFacts(
            bootstrap: [
                .init(address: "5.1.1.1:49737"),
                .init(address: "nowhere:1", problem: "cannot find the host nowhere"),
            ], problem: problem)
    }

    @Test func `one mapped port for all is consistent, one for each is random`() {
        let one = endpoint(0x5505_0505, 9000)
        let same = DoctorReport(network: network([one, one, one]), machine: machine)
        #expect(same.nat == .consistent)
        #expect(same.mapped == ["85.5.5.5:9000"])
        #expect(same.exitCode == 0)
        let many = (0..<3).map { endpoint(0x5505_0505, 9000 + $0) }
        let random = DoctorReport(network: network(many), machine: machine)
        #expect(random.nat == .random)
        #expect(random.text.contains("warning  NAT          random: every node sees another port"))
        #expect(random.exitCode == 0)
    }

    @Test func `few nodes are told from many`() {
        let one = endpoint(0x5505_0505, 9000)
        #expect(DoctorReport(network: network([one]), machine: machine).nat == .unknown)
        #expect(DoctorReport(network: network([one, one]), machine: machine).nat == .consistent)
        let two = [one, endpoint(0x5505_0505, 9001)]
        #expect(DoctorReport(network: network(two), machine: machine).nat == .random)
    }

    @Test func `a machine that is seen at its own address and port has no NAT`() {
        let own = endpoint(0xc0a8_0102, 4000)
        #expect(DoctorReport(network: network([own, own, own]), machine: machine).nat == .none)
        let moved = endpoint(0xc0a8_0102, 4001)
        let other = DoctorReport(network: network([moved, moved, moved]), machine: machine)
        #expect(other.nat == .consistent)
    }

    @Test func `without an answer it ends with 4 and says what may be wrong`() {
        let report = DoctorReport(network: silence(), machine: machine)
        #expect(report.failure?.code == .noPeer)
        #expect(report.text.contains("problem  bootstrap    5.1.1.1:49737 does not answer"))
        #expect(report.text.contains("problem  bootstrap    cannot find the host nowhere"))
        #expect(report.text.contains("datagrams leave, and no answer comes back"))
        let offline = DoctorReport(network: silence("Network is unreachable"), machine: machine)
        #expect(offline.text.contains("problem  UDP          Network is unreachable"))
    }

    @Test func `one silent bootstrap node among others is a warning`() {
        var facts = network([endpoint(0x5505_0505, 9000)])
        facts.bootstrap.append(.init(address: "9.9.9.9:1"))
        let report = DoctorReport(network: facts, machine: machine)
        #expect(report.text.contains("warning  bootstrap    9.9.9.9:1 does not answer"))
        #expect(report.failure == nil)
    }

    @Test(arguments: [
        (Int32(2), "/dev/fuse does not exist"), (13, "/dev/fuse may not be opened"),
        (1, "/dev/fuse may not be opened"), (99, "cannot be opened (errno 99)"),
    ])
    func `without FUSE it ends with 1, whatever the network`(code: Int32, words: String) {
        var facts = machine
        facts.fuseProblem = code
        let report = DoctorReport(network: silence(), machine: facts)
        #expect(report.failure?.code == .general)
        #expect(report.text.contains(words))
    }

    @Test func `the helper matters to all but root`() {
        var facts = machine
        facts.helper = nil
        #expect(DoctorReport(network: silence(), machine: facts).failure?.code == .general)
        facts.isRoot = true
        #expect(DoctorReport(network: silence(), machine: facts).failure?.code == .noPeer)
        facts = machine
        facts.helperRunsAsRoot = false
        #expect(DoctorReport(network: silence(), machine: facts).failure?.code == .general)
    }

    @Test func `the clock and the kernel are judged`() {
        func text(_ change: (inout MachineFacts) -> Void) -> String {
            var facts = machine
            change(&facts)
            return DoctorReport(network: silence(), machine: facts).text
        }
        #expect(text { $0.isClockSynchronized = false }.contains("warning  clock"))
        #expect(text { $0.wallSeconds = 0 }.contains("problem  clock        it is years behind"))
        #expect(text { $0.kernelRelease = "4.19.0" }.contains("warning  kernel       4.19.0"))
        #expect(text { $0.kernelRelease = "5.4" }.contains("ok       kernel       5.4"))
        #expect(text { $0.kernelRelease = "odd" }.contains("warning  kernel"))
    }
}
