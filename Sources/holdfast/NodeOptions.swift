import Base
import DHT
import Host
import Swarm
import Wire

/// Where a DHT node listens, whom it asks first and how it shows itself, as the command line says.
struct NodeOptions: Equatable {
    let address: NetworkAddress
    /// To be tried in turn.
    let ports: [UInt16]
    let bootstrap: [NetworkEndpoint]
    /// Nodes that were named and cannot be found, with why.
    let problems: [String]
    /// Others may reach the node where it listens, and keep it.
    let isPublic: Bool

    /// Blocks while names are resolved.
    init(_ parsed: ParsedCommand) throws(CommandFailure) {
        var address = NetworkAddress.v4(0)
        var ports = DHTHost.usualPorts + [0]
        if let listen = parsed.addresses("listen").first {
            let endpoint = try Self.endpoint(listen)
            address = endpoint.address
            ports = [endpoint.port]
        }
        let named = Self.bootstrap(parsed)
        let resolved = BootstrapNodes.resolve(named)
        // One list serves all the nodes of a network: each leaves itself out.
        let own = ports.map { NetworkEndpoint(address: address, port: $0) }
        let others = resolved.flatMap(\.endpoints).filter { !own.contains($0) }
        let problems = resolved.compactMap(\.problem).map { "\($0)" }
        guard problems.count < named.count || named.isEmpty else {
            throw CommandFailure(.noPeer, "\(problems.joined(separator: "; ")): see --bootstrap")
        }
        let isPublic = parsed.isSet("public") || address.isLoopback
        guard !isPublic || address != .v4(0) || !others.isEmpty else {
            throw CommandFailure(
                .usage,
                "the node cannot tell its public address: write it as --listen HOST:PORT, or name "
                    + "a node that can tell with --bootstrap")
        }
        self.address = address
        self.ports = ports
        self.bootstrap = others
        self.problems = problems
        self.isPublic = isPublic
    }

    /// Those of the command line or the environment, else the public network's.
    static func bootstrap(_ parsed: ParsedCommand) -> [PeerAddress] {
        parsed.values["bootstrap"] == nil
            ? BootstrapNodes.publicNetwork : parsed.addresses("bootstrap")
    }

    private static func endpoint(_ listen: PeerAddress) throws(CommandFailure) -> NetworkEndpoint {
        let found = try? BootstrapNodes.endpoints(of: listen)
        guard let first = found?.first else {
            throw CommandFailure(
                .usage,
                "--listen cannot be \(EscapedText.quoted("\(listen)")): the DHT speaks IPv4 only, "
                    + "use an IPv4 address of this machine, as in 0.0.0.0:49737")
        }
        return first
    }

    func configuration(server: UInt16, client: UInt16) -> DHTConfiguration {
        let wall = wallNow()
        let wallMilliseconds =
            UInt64(clamping: wall.seconds) * 1000 + UInt64(wall.nanoseconds) / 1_000_000
        let milliseconds = monotonicNow().nanoseconds / 1_000_000
        return DHTConfiguration(
            bootstrap: bootstrap, mode: isPublic ? .persistent : .adaptive,
            isFirewalled: !isPublic,
            publicAddress: isPublic && address != .v4(0)
                ? NetworkEndpoint(address: address, port: server) : nil,
            serverPort: server, clientPort: client,
            unixMillisecondsAtZero: wallMilliseconds - min(milliseconds, wallMilliseconds))
    }
}

extension NetworkAddress {
    /// 127.0.0.0/8: those who can use the address can also reach it.
    var isLoopback: Bool {
        if case .v4(let number) = self { return number >> 24 == 127 }
        return false
    }
}
