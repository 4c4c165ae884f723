internal import Base
internal import Crypto
internal import DHT
internal import Glibc
internal import Wire

/// Nodes that come and go.
extension DHTWorld {
    static let serverPort: UInt16 = 49737
    /// 2025-01-01, the time at which the virtual clock shows zero.
    static let unixMillisecondsAtZero: UInt64 = 1_735_689_600_000

    /// The nodes that all others are told of; they know their own addresses.
    mutating func addBootstrapNodes() {
        for _ in 0..<options.bootstrapNodes {
            let host = network.addHost()
            let address = network.address(of: host)
            let endpoint = NetworkEndpoint(address: address, port: Self.serverPort)
            var configuration = DHTConfiguration(bootstrap: bootstrap, mode: .persistent)
            configuration.isFirewalled = false
            configuration.publicAddress = endpoint
            start(host, configuration)
            bootstrap.append(endpoint)
            run(for: .seconds(2))
        }
    }

    /// All other nodes, in waves: at first twenty a second, later a tenth of what is there, until
    /// every node has come and has looked around.
    mutating func addNodes() {
        var count = options.bootstrapNodes
        var time = network.now
        let persistent = (options.persistentShare * Double(options.nodes)).rounded()
        var persistentLeft = max(0, Int(persistent) - options.bootstrapNodes)
        while count < options.nodes {
            let wave = min(max(20, count / 10), options.nodes - count)
            for _ in 0..<wave {
                let isPersistent =
                    Int.random(in: 0..<(options.nodes - count), using: &random) < persistentLeft
                if isPersistent { persistentLeft -= 1 }
                let moment = Int.random(in: 0..<1000, using: &random)
                plan(.join(isPersistent: isPersistent), at: time + .milliseconds(moment))
                count += 1
            }
            time = time + .seconds(1)
        }
        run(until: time + .seconds(60))
    }

    mutating func join(isPersistent: Bool) {
        let host: VirtualNetwork.HostID
        var configuration = DHTConfiguration(bootstrap: bootstrap)
        if isPersistent {
            host = network.addHost()
            configuration.mode = .persistent
        } else {
            host = network.addHost(behind: situation())
        }
        start(host, configuration)
        if churns { planEnd(of: host.index) }
    }

    @discardableResult
    mutating func start(
        _ host: VirtualNetwork.HostID, _ configuration: DHTConfiguration
    ) -> Int {
        var configuration = configuration
        configuration.unixMillisecondsAtZero = Self.unixMillisecondsAtZero
        configuration.serverPort =
            network.bind(.server, at: host, port: configuration.serverPort) ?? network.bind(
                .server, at: host)
            ?? 0
        configuration.clientPort = network.bind(.client, at: host) ?? 0
        let node = DHTNode(
            configuration: configuration, seed: Bytes32(using: &random), now: network.now)
        while members.count <= host.index { members.append(Member()) }
        members[host.index] = Member(node: node, place: alive.count)
        alive.append(host.index)
        members[host.index].node?.start(now: network.now, into: &effects)
        settle(host.index)
        return host.index
    }

    /// Gone without a word.
    mutating func leave(_ index: Int) {
        guard members[index].node != nil else { return }
        members[index].node = nil
        members[index].walks = []
        network.remove(VirtualNetwork.HostID(index: index))
        let place = members[index].place
        guard place >= 0, let last = alive.popLast() else { return }
        members[index].place = -1
        if last != index {
            alive[place] = last
            members[last].place = place
        }
        // Somebody else comes.
        if churns {
            let isPersistent = Double.random(in: 0..<1, using: &random) < options.persistentShare
            plan(.join(isPersistent: isPersistent), at: network.now)
        }
    }

    /// From now on sessions end, but for those of the bootstrap nodes and of announcers.
    mutating func startChurn() {
        guard options.sessionMean != nil else { return }
        churns = true
        let staying = Set(topics.map(\.host))
        for host in alive where host >= options.bootstrapNodes && !staying.contains(host) {
            planEnd(of: host)
        }
    }

    private mutating func planEnd(of host: Int) {
        guard let mean = options.sessionMean else { return }
        let share = -log(Double.random(in: 0.000001..<1, using: &random))
        plan(.leave(host: host), at: network.now + mean * share)
    }

    private mutating func situation() -> NATKind {
        let total = options.situations.reduce(0) { $0 + $1.weight }
        var draw = Double.random(in: 0..<max(total, .leastNonzeroMagnitude), using: &random)
        for situation in options.situations {
            draw -= situation.weight
            if draw < 0 { return situation.kind }
        }
        return .portRestricted
    }
}
