import Base
import Crypto
import DHT
import Simulation
import Testing
import Wire

/// What a node learns about its own address, and when it turns persistent.
struct AddressTests {
    @Test func `an open node finds out at once, and turns persistent after twenty minutes`() {
        let network = NodeNetwork.persistent(30, seed: 50)
        let node = network.addAdaptive()
        #expect(network.nodes[node].isFirewalled)
        network.run(for: .seconds(10))
        #expect(network.events[node].contains(.ready))
        #expect(!network.nodes[node].isFirewalled)
        #expect(network.nodes[node].remoteAddress == network.endpoint(node))
        #expect(network.nodes[node].isEphemeral)
        network.run(for: .seconds(19 * 60))
        #expect(network.nodes[node].isEphemeral)
        network.run(for: .seconds(2 * 60))
        #expect(!network.nodes[node].isEphemeral)
        #expect(network.events[node].contains(.becamePersistent))
        #expect(network.nodes[node].tableID == NodeID.of(network.endpoint(node)))
        // Now it comes into others' tables, and a walk to its place finds it.
        network.run(for: .seconds(6 * 60))
        let id = network.nodes[node].tableID
        let outcome = network.finish(3) {
            $0.query(DHTQuery(.findNode, target: id), now: $1, into: &$2)
        }
        #expect(outcome.closest.first?.id == id)
    }

    @Test(arguments: 0..<8)
    func `an open node finds out in a network of three, where the walk is soon over`(seed: Int) {
        let network = NodeNetwork.persistent(3, seed: 60 + UInt64(seed))
        let node = network.addAdaptive()
        network.run(for: .seconds(2))
        #expect(network.events[node].contains(.ready))
        #expect(!network.nodes[node].isFirewalled, "seed \(60 + seed)")
        #expect(network.nodes[node].remoteAddress == network.endpoint(node))
    }

    @Test(arguments: [Simulation.NATKind.fullCone, .portRestricted, .symmetric])
    func `a node behind a NAT stays ephemeral`(kind: Simulation.NATKind) {
        let network = NodeNetwork.persistent(30, seed: 51)
        let node = network.addAdaptive(behind: kind)
        network.run(for: .seconds(25 * 60))
        let core = network.nodes[node]
        #expect(core.isEphemeral && core.isFirewalled)
        #expect(core.remoteAddress == nil)
        #expect(core.publicHost == network.network.publicAddress(of: network.hosts[node]))
        #expect((core.publicPort == nil) == (kind == .symmetric))
        #expect(core.tableCount >= 20)
    }

    @Test func `a node that is told to be persistent waits until it knows its address`() {
        let network = NodeNetwork.persistent(20, seed: 52)
        let host = network.network.addHost()
        let node = network.add(host) { $0.mode = .persistent }
        #expect(network.nodes[node].isEphemeral)
        network.run(for: .seconds(20))
        #expect(!network.nodes[node].isEphemeral && !network.nodes[node].isFirewalled)
        #expect(network.nodes[node].tableID == NodeID.of(network.endpoint(node)))
        let hidden = network.network.addHost(behind: .portRestricted)
        let firewalled = network.add(hidden) { $0.mode = .persistent }
        network.run(for: .seconds(20))
        #expect(network.nodes[firewalled].isEphemeral)
    }

    @Test func `a forwarding to another port does not count as reachable`() {
        // The node believes that its server socket is on a port that answers come to nobody at.
        let network = NodeNetwork.persistent(20, seed: 53)
        let node = network.add(network.network.addHost()) { $0.serverPort = 50000 }
        network.run(for: .seconds(20))
        #expect(network.nodes[node].isFirewalled)
    }

    @Test func `a sleep makes an adaptive node ephemeral again`() {
        let network = NodeNetwork.persistent(20, seed: 54)
        let node = network.addAdaptive()
        network.run(for: .seconds(22 * 60))
        #expect(!network.nodes[node].isEphemeral)
        // Nobody calls it for a minute.
        var effects = DHTEffects()
        _ = network.nodes[node].advance(now: network.now + .seconds(60), into: &effects)
        #expect(effects.events.contains(.becameEphemeral))
        #expect(network.nodes[node].isEphemeral)
    }

    @Test func `a suspended node is silent, and comes back with what it sees then`() {
        let network = NodeNetwork.persistent(20, seed: 55)
        let node = network.addAdaptive(behind: .portRestricted)
        network.run(for: .seconds(20))
        let id = network.with(node) { node, now, effects in
            let id = node.lookup(DHTNodeTests.topic, now: now, into: &effects)
            node.suspend(now: now, into: &effects)
            return id
        }
        #expect(network.hasEnded(id, at: node))
        #expect(network.nodes[node].deadline == .distantFuture)
        let old = network.nodes[node].publicHost
        network.events[node].removeAll()
        network.run(for: .seconds(100))
        #expect(network.events[node].isEmpty)
        let realm = network.network.addNATs(.portRestricted)
        network.network.move(network.hosts[node], to: realm)
        network.with(node) { $0.resume(now: $1, into: &$2) }
        network.run(for: .seconds(20))
        #expect(network.events[node].contains(.ready))
        let new = network.nodes[node].publicHost
        #expect(new != old)
        #expect(new == network.network.publicAddress(of: network.hosts[node]))
    }

    @Test func `a persistent node that comes back elsewhere takes its new place`() {
        let network = NodeNetwork.persistent(20, seed: 57)
        let node = network.add(network.network.addHost()) { $0.mode = .persistent }
        network.run(for: .seconds(20))
        let old = network.nodes[node].tableID
        #expect(!network.nodes[node].isEphemeral)
        network.with(node) { $0.suspend(now: $1, into: &$2) }
        network.network.move(network.hosts[node], to: .internet)
        network.with(node) { $0.resume(now: $1, into: &$2) }
        #expect(network.nodes[node].isEphemeral)
        network.run(for: .seconds(30))
        #expect(!network.nodes[node].isEphemeral)
        #expect(network.nodes[node].tableID != old)
        #expect(network.nodes[node].tableID == NodeID.of(network.endpoint(node)))
    }

    @Test func `what is begun while suspended fails`() {
        let network = NodeNetwork.persistent(20, seed: 58)
        network.with(5) { $0.suspend(now: $1, into: &$2) }
        let query = network.finish(5) { $0.lookup(DHTNodeTests.topic, now: $1, into: &$2) }
        #expect(query.hasEnded && query.closest.isEmpty)
        #expect(network.ask(5, DHTRequest(.ping), of: network.endpoint(1)) == nil)
    }

    @Test func `strangers and the nodes of the table cannot talk a node into another address`() {
        let network = NodeNetwork.persistent(10, seed: 56)
        let node = network.addAdaptive(behind: .fullCone)
        network.run(for: .seconds(20))
        let before = network.nodes[node].publicHost
        // Requests name addresses as they like; nothing is learned from them.
        var effects = DHTEffects()
        var random = SeededRandom(seed: 1)
        for number in 0..<200 {
            let from =
                number % 2 == 0
                ? network.endpoint(number % 10)
                : NetworkEndpoint(
                    address: .v4(UInt32.random(in: 0..<(1 << 28), using: &random)), port: 9)
            var datagram: [UInt8] = [0x03, 0x05, 1, 1, 9, 9, 9, 9, 1, 1]
            datagram += NodeID.of(from)?.bytes ?? []
            datagram.append(0)
            network.nodes[node].receive(
                datagram.span, from: from, on: .client, now: network.now, into: &effects)
        }
        #expect(network.nodes[node].publicHost == before)
        #expect(!effects.events.contains(.addressChanged))
    }
}
