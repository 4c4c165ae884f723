import Crypto
import DHT
import Host
import Swarm
import Wire

/// Where a DHT node listens, whom it asks first and how it shows itself, as the command line says.
struct NodeOptions: Equatable {
    let address: NetworkAddress
    /// nil for the usual ones; 0 for any that is free.
    let port: UInt16?
    let bootstrap: [NetworkEndpoint]
    /// Nodes that were named and cannot be found, with why.
    let problems: [String]
    /// Others may reach the node where it listens, and keep it.
    let isPublic: Bool

    /// Blocks while names are resolved.
    init(_ parsed: ParsedCommand) throws(CommandFailure) {
        var address = NetworkAddress.v4(0)
        var port: UInt16?
        if let listen = parsed.addresses("listen").first {
            let endpoint = try Self.endpoint(listen)
            address = endpoint.address
            port = endpoint.port
        }
        let named = Self.bootstrap(parsed)
        let resolved = BootstrapNodes.resolve(named)
        // One list serves all the nodes of a network: each leaves itself out.
        let own = NetworkEndpoint(address: address, port: port ?? 0)
        let others = resolved.flatMap(\.endpoints).filter { $0 != own }
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
        self.port = port
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

    /// - Parameter relayKey: under which the node works as a blind relay; nil if it is none.
    func node(relayKey: KeyPair?) -> SwarmNodeOptions {
        var random = SecureRandom()
        var options = SwarmNodeOptions(
            keyPair: relayKey ?? KeyPair(using: &random), bootstrap: bootstrap)
        options.address = address
        if let port {
            options.serverPorts = [port]
            options.isPortFixed = true
        }
        options.mode = isPublic ? .persistent : .adaptive
        options.isFirewalled = !isPublic
        if isPublic, address != .v4(0) {
            options.publicAddress = NetworkEndpoint(address: address, port: port ?? 0)
        }
        options.relay = relayKey == nil ? nil : BlindRelayLimits()
        return options
    }
}

extension NetworkAddress {
    /// 127.0.0.0/8: those who can use the address can also reach it.
    var isLoopback: Bool {
        if case .v4(let number) = self { return number >> 24 == 127 }
        return false
    }
}
