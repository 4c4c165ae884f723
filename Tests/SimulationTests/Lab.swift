import Base
import Simulation
import Wire

/// A virtual network in which one datagram is sent at a time and followed to its end.
///
/// A class, because a test's macros change no value.
final class Lab {
    var network: VirtualNetwork
    private(set) var lastSource: NetworkEndpoint?

    init(seed: UInt64, configuration: VirtualNetwork.Configuration = .init()) {
        network = VirtualNetwork(seed: seed, configuration: configuration)
    }

    /// With its server socket bound.
    func addHost(_ kind: NATKind) -> VirtualNetwork.HostID {
        let host = network.addHost(behind: kind)
        network.bind(.server, at: host)
        return host
    }

    /// The host where it arrives.
    func send(
        _ byte: UInt8, from host: VirtualNetwork.HostID, via socket: SocketID = .server,
        to destination: NetworkEndpoint, timeToLive: UInt8 = 0
    ) -> VirtualNetwork.HostID? {
        let bytes = [byte]
        network.send(bytes.span, from: host, via: socket, to: destination, timeToLive: timeToLive)
        lastSource = nil
        while let event = network.next(until: network.now + .seconds(2)) {
            guard case .datagram(let delivery) = event else { continue }
            guard network.payload.count == 1, network.payload[0] == byte else { return nil }
            lastSource = delivery.source
            return delivery.host
        }
        return nil
    }

    /// From server socket to server socket: the sender as the receiver sees it.
    func send(
        _ byte: UInt8, from host: VirtualNetwork.HostID, to other: VirtualNetwork.HostID
    ) -> NetworkEndpoint? {
        guard let destination = network.endpoint(of: .server, at: other),
            send(byte, from: host, to: destination) == other
        else { return nil }
        return lastSource
    }

    func wait(_ duration: Duration) {
        let end = network.now + duration
        while network.next(until: end) != nil {}
    }
}
