import Base
import DHT
import Wire

/// What `doctor` says: a line for each thing it looked at, and whether a mount would sync.
struct DoctorReport: Encodable, Equatable {
    enum State: String, Encodable { case ok, warning, problem }

    struct Line: Encodable, Equatable {
        let name: String
        let state: State
        let finding: String
        /// What to do; nil when nothing needs to be done.
        var remedy: String?
    }

    struct BootstrapNode: Encodable, Equatable {
        let address: String
        let roundTripMilliseconds: Double?
    }

    /// How the router between this machine and the internet maps its ports.
    enum NAT: String, Encodable {
        /// The machine has a public address.
        case none
        /// One public port for each of the machine's, whoever is asked.
        case consistent
        /// Another public port for everybody who is asked.
        case random
        case unknown
    }

    let nat: NAT
    /// Where nodes see this machine, each address once.
    let mapped: [String]
    let isReachable: Bool
    let bootstrap: [BootstrapNode]
    let lines: [Line]
    let exitCode: Int32

    private enum CodingKeys: String, CodingKey {
        case nat, mapped
        case isReachable = "reachable"
        case bootstrap
        case lines = "checks"
        case exitCode
    }

    init(network: NetworkFacts, machine: MachineFacts) {
        nat = Self.nat(of: network)
        var seen: [String] = []
        for sample in network.samples where !seen.contains("\(sample.mapped)") {
            seen.append("\(sample.mapped)")
        }
        mapped = seen
        isReachable = network.isReachable
        bootstrap = network.bootstrap.map { node in
            BootstrapNode(
                address: node.address,
                roundTripMilliseconds: node.roundTrip.map(Self.milliseconds))
        }
        let mounting = Self.mounting(machine)
        lines =
            Self.network(network, nat) + mounting
            + Self.machine(machine)
        let code: ExitCode
        if mounting.contains(where: { $0.state == .problem }) {
            code = .general
        } else {
            code = network.samples.isEmpty ? .noPeer : .success
        }
        exitCode = code.rawValue
    }

    /// For people: columns, and remedies below what they mend.
    var text: String {
        var text = ""
        let width = (lines.map(\.name.count).max() ?? 0) + 2
        for line in lines {
            let state = line.state.rawValue
            text += state + String(repeating: " ", count: 9 - state.count)
            text += line.name + String(repeating: " ", count: width - line.name.count)
            text += line.finding + "\n"
            if let remedy = line.remedy {
                text += String(repeating: " ", count: 9 + width) + remedy + "\n"
            }
        }
        return text
    }

    /// Why the command ends without success.
    var failure: CommandFailure? {
        switch exitCode {
        case ExitCode.general.rawValue:
            CommandFailure(.general, "a share cannot be mounted here: see the problems above")
        case ExitCode.noPeer.rawValue:
            CommandFailure(
                .noPeer,
                "no node of the DHT answers: a mount would work, and sync with nobody but devices "
                    + "on this network and those named with --peer")
        default: nil
        }
    }

    static func milliseconds(_ duration: Duration) -> Double {
        (Double(duration.nanosecondsClamped) / 10_000).rounded() / 100
    }

    static func shown(_ duration: Duration) -> String {
        let value = milliseconds(duration)
        return value < 10 ? "\(value) ms" : "\(Int(value.rounded())) ms"
    }
}
