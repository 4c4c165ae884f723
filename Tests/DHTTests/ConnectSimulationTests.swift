import Base
import Crypto
import Simulation
import Testing
import Wire

@testable import DHT

/// A client and a server behind every pair of NATs, on a network of open nodes.
struct ConnectSimulationTests {
    private static let seed: UInt64 = 20_260_301

    /// Fourteen open nodes that know each other. Copied by every test.
    static let backbone: ConnectWorld = {
        var world = ConnectWorld(seed: seed)
        world.addBackbone(count: 14)
        return world
    }()

    /// A server that listens and a client that is ready.
    private func pair(
        _ client: Simulation.NATKind, _ server: Simulation.NATKind
    ) -> (world: ConnectWorld, client: ConnectWorld.Host, server: ConnectWorld.Host) {
        var world = Self.backbone
        let serverHost = world.addPeer(behind: server)
        world.run(for: .seconds(20)) { $0.members[serverHost]?.isReady == true }
        world.listen(serverHost)
        world.run(for: .seconds(20)) { $0.members[serverHost]?.listeningAt.isEmpty == false }
        let clientHost = world.addPeer(behind: client)
        world.run(for: .seconds(20)) { $0.members[clientHost]?.isReady == true }
        return (world, clientHost, serverHost)
    }

    @Test func `one pair connects`() throws {
        var (world, client, server) = pair(.portRestricted, .portRestricted)
        #expect(world.members[server]?.listeningAt.count == 3)
        _ = world.connect(client, to: server)
        let isConnected = world.run(for: .seconds(60)) { $0.areConnected(client, server) }
        #expect(isConnected, "\(String(describing: world.members[client]?.failures))")
        print(world.connections(client, with: server), world.connections(server, with: client))
    }
}
