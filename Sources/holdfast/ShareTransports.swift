import Base
import Crypto
import Glibc
import Host
import Store
import Swarm

/// The ways in which one mounted share reaches its peers, as its settings say.
struct ShareTransports {
    private static let closingTime = Duration.milliseconds(300)

    private let settings: ShareSettings
    private let loop: EventLoop
    private let direct: DirectTransport?
    private let hyperswarm: HyperswarmTransport?
    private let lan: LANTransport?

    /// Opens the TCP port; nothing else happens before `attach`.
    ///
    /// - Parameter memory: of the last run with the same bootstrap nodes.
    init(
        _ settings: ShareSettings, nodeKey: KeyPair, memory: SwarmMemory, loop: EventLoop,
        workers: WorkerPool
    ) throws(CommandFailure) {
        self.settings = settings
        self.loop = loop
        let names = Self.names(settings.transport)
        direct =
            names.contains("direct")
            ? try hosted { () throws(HostError) in
                try DirectTransport(
                    loop: loop, workers: workers,
                    listen: PeerAddress(settings.listen) ?? .everywhere,
                    preferredPort: settings.listenPort,
                    peers: settings.peers.compactMap { PeerAddress($0) })
            } : nil
        lan =
            names.contains("lan") && settings.usesLAN
            ? LANTransport(loop: loop, port: { [direct] in direct?.listenAddress?.port }) : nil
        guard names.contains("hyperswarm") else {
            hyperswarm = nil
            return
        }
        let named = settings.bootstrap.compactMap { PeerAddress($0) }
        var options = HyperswarmOptions(
            nodeKey: nodeKey, bootstrap: named.isEmpty ? BootstrapNodes.publicNetwork : named)
        options.preferredPort = settings.udpPort
        options.memory = memory
        options.relay = Bytes32(hex: settings.relay)
        hyperswarm = HyperswarmTransport(loop: loop, workers: workers, options: options)
    }

    private static func names(_ transport: String) -> Set<String> {
        switch transport {
        case "auto": ["hyperswarm", "direct", "lan"]
        case "disabled": []
        default: [transport]
        }
    }

    /// In the order in which they are asked whether they can dial something.
    var all: [any Transport] {
        var all: [any Transport] = []
        if let direct { all.append(direct) }
        if let hyperswarm { all.append(hyperswarm) }
        if let lan { all.append(lan) }
        return all
    }

    func attach(_ driver: ShareDriver) throws(CommandFailure) {
        try hosted { () throws(HostError) in
            try direct?.attach(driver)
            try hyperswarm?.attach(driver)
        }
        lan?.attach(driver)
    }

    /// So that the next start has the same ports, which links, peers and NATs know.
    func rememberPorts(in folder: ShareFolder) throws(CommandFailure) {
        let tcp = direct?.listenAddress?.port ?? settings.listenPort
        let udp = hyperswarm?.serverPort ?? settings.udpPort
        guard tcp != settings.listenPort || udp != settings.udpPort else { return }
        try stated { () throws(StateError) in
            var settings = try folder.settings()
            settings.listenPort = tcp
            settings.udpPort = udp
            try folder.setSettings(settings)
        }
    }

    /// What is worth keeping for the next start; nil without the DHT.
    var memory: SwarmMemory? { hyperswarm?.memory }

    /// Whether bytes wait on streams that are being closed.
    var isFlushing: Bool {
        loop.perform { [direct, hyperswarm] in
            direct?.isFlushing == true || hyperswarm?.isFlushing == true
        } ?? false
    }

    /// Ends everything, after a moment for last words.
    func close() {
        let deadline = monotonicNow() + Self.closingTime
        while isFlushing, monotonicNow() < deadline { usleep(5000) }
        direct?.close()
        hyperswarm?.close()
        lan?.close()
    }
}
