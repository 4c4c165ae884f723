import Base
import Crypto
import DHT
import Host
import Swarm
import Wire

/// Asks nodes of the DHT what they see of this machine: who answers, how fast, from which address
/// our datagrams seem to come, and whether a datagram gets in that nobody here asked for.
struct NetworkExamination {
    private enum Limits {
        static let retries = 2
        /// Nodes beside the bootstrap nodes whose word on our address is wanted.
        static let samplesWanted = 8
    }

    private let named: [PeerAddress]
    private let host: DHTHost

    /// - Parameter bootstrap: the nodes to begin with.
    /// - Returns: what was learned, after some seconds.
    static func run(_ bootstrap: [PeerAddress]) -> NetworkFacts {
        var facts = NetworkFacts()
        facts.localAddresses = SystemFacts.localAddresses
        do throws(HostError) {
            let loop = try EventLoop()
            try loop.start()
            defer { loop.stop() }
            var random = SecureRandom()
            var options = SwarmNodeOptions(keyPair: KeyPair(using: &random), bootstrap: [])
            options.serverPorts = []
            options.mode = .ephemeral
            let host = try DHTHost(loop: loop, options: options)
            defer { host.close() }
            NetworkExamination(named: bootstrap, host: host).run(&facts)
        } catch {
            facts.problem = "\(error)"
            facts.bootstrap = bootstrap.map { .init(address: "\($0)") }
        }
        return facts
    }

    private func run(_ facts: inout NetworkFacts) {
        let resolved = BootstrapNodes.resolve(named)
        let endpoints = resolved.map { $0.endpoints.first }
        let replies = host.ask(
            endpoints.compactMap { $0 }.map { .init(DHTRequest(.ping), to: $0) },
            retries: Limits.retries)
        var next = replies.makeIterator()
        var answering: [NetworkEndpoint] = []
        for (node, endpoint) in zip(resolved, endpoints) {
            var entry = NetworkFacts.Bootstrap(address: "\(node.named)")
            entry.problem = node.problem.map { "\($0)" }
            if endpoint != nil, let reply = next.next() ?? nil {
                entry.roundTrip = reply.roundTripTime
                answering.append(reply.from)
                note(reply, in: &facts)
            }
            facts.bootstrap.append(entry)
        }
        facts.clientPort = host.facts.clientPort
        guard !answering.isEmpty else {
            facts.problem = host.facts.problem.map { "\($0)" }
            return
        }
        sample(answering, &facts)
        facts.isReachable = isReachable(by: answering)
    }

    /// Asks the nodes that those nodes know.
    private func sample(_ nodes: [NetworkEndpoint], _ facts: inout NetworkFacts) {
        var random = SecureRandom()
        let target = Bytes32(using: &random)
        let lists = host.ask(
            nodes.map { .init(DHTRequest(.findNode, target: target), to: $0) }, retries: 1)
        var known = Set(nodes)
        let others = lists.compactMap { $0 }.flatMap(\.closerNodes).filter { node in
            known.insert(node).inserted
        }
        let asked = others.prefix(Limits.samplesWanted)
        for reply in host.ask(asked.map { .init(DHTRequest(.ping), to: $0) }, retries: 1) {
            if let reply { note(reply, in: &facts) }
        }
    }

    private func note(_ reply: DHTReply, in facts: inout NetworkFacts) {
        facts.samples.append(.init(observer: reply.from, mapped: reply.to))
        facts.roundTrips.append(reply.roundTripTime)
    }

    /// Whether an answer comes to the server socket, from which nothing was sent (`dht.md` 7.2).
    private func isReachable(by nodes: [NetworkEndpoint]) -> Bool {
        let port = host.facts.serverPort
        let value = [UInt8(truncatingIfNeeded: port), UInt8(truncatingIfNeeded: port >> 8)]
        let replies = host.ask(
            nodes.map { .init(DHTRequest(.pingNAT, value: value), to: $0) }, retries: 1)
        return replies.contains { $0?.socket == .server }
    }
}

extension MachineFacts {
    /// - Parameter path: the variable of that name.
    static func gather(path: String, libraryVersion: String) -> MachineFacts {
        let helper = SystemFacts.program("fusermount3", path: path)
        let configuration = (try? readWhole("/etc/fuse.conf", limitBytes: 64 << 10)) ?? []
        let lines = configuration.split(separator: UInt8(ascii: "\n")).map {
            String(decoding: $0, as: UTF8.self).filter { !$0.isWhitespace }
        }
        return MachineFacts(
            isRoot: SystemFacts.isRoot, fuseProblem: SystemFacts.fuseDeviceProblem,
            helper: helper, helperRunsAsRoot: helper.map(SystemFacts.runsAsRoot) ?? false,
            libraryVersion: libraryVersion, userAllowOther: lines.contains("user_allow_other"),
            kernelRelease: SystemFacts.kernelRelease,
            joinsDatagrams: SystemFacts.joinsDatagrams,
            isClockSynchronized: SystemFacts.isClockSynchronized, wallSeconds: wallNow().seconds)
    }
}
