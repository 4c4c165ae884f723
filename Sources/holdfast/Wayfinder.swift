import Base
import Host
import Store
import Swarm
import Synchronization
import Wire

/// Keeps what one mounted share knows of the way to its peers (`KnownNetwork`) for the next start.
final class Wayfinder: Sendable {
    /// Between two times that it is written, if it has changed.
    static let keepInterval = Duration.seconds(180)

    private let folder: ShareFolder
    private let driver: ShareDriver
    private let transports: ShareTransports
    private let log: Log
    /// As the file has it.
    private let kept: Mutex<KnownNetwork>

    init(
        _ folder: ShareFolder, _ known: KnownNetwork, _ driver: ShareDriver,
        _ transports: ShareTransports, _ log: Log
    ) {
        self.folder = folder
        self.driver = driver
        self.transports = transports
        self.log = log
        kept = Mutex(known)
    }

    /// What an earlier run has kept, if it asked the same bootstrap nodes.
    ///
    /// - Returns: as well what is to be said about it.
    static func read(
        _ folder: ShareFolder, _ settings: ShareSettings
    ) -> (known: KnownNetwork, note: String?) {
        let nothing = KnownNetwork(bootstrap: settings.bootstrap.sorted())
        do throws(StateError) {
            guard let known = try folder.knownNetwork(), known.bootstrap == nothing.bootstrap
            else { return (nothing, nil) }
            return (known, nil)
        } catch {
            return (nothing, "the nodes and peers of the last run are forgotten: \(error)")
        }
    }

    /// Which of the nodes answered last is not worth writing.
    private static func isNews(_ known: KnownNetwork, after kept: KnownNetwork) -> Bool {
        known.nodes.sorted() != kept.nodes.sorted() || known.peers != kept.peers
            || known.addresses != kept.addresses
    }

    /// Writes what is known now, unless the file says the same. On no event loop's thread.
    func keep() {
        kept.withLock { kept in
            var known = KnownNetwork(bootstrap: kept.bootstrap)
            if let memory = transports.memory {
                known.nodes = memory.nodes.map { "\($0)" }
                known.peers = memory.peers.map { peer in
                    KnownNetwork.Peer(key: peer.key.hex, addresses: peer.addresses.map { "\($0)" })
                }
            } else {
                known.nodes = kept.nodes
                known.peers = kept.peers
            }
            known.addresses = driver.answeredAddresses.map { "\($0)" }
            guard !known.isEmpty, Self.isNews(known, after: kept) else { return }
            do throws(StateError) {
                try folder.setKnownNetwork(known)
                kept = known
            } catch {
                log.write("the nodes and peers of this run cannot be kept: \(error)")
            }
        }
    }
}

extension SwarmMemory {
    /// What cannot be read is left out.
    init(_ known: KnownNetwork) {
        self.init(
            nodes: known.nodes.compactMap(Self.endpoint),
            peers: known.peers.compactMap { peer in
                Bytes32(hex: peer.key).map { key in
                    Peer(key: key, addresses: peer.addresses.compactMap(Self.endpoint))
                }
            })
    }

    private static func endpoint(_ text: String) -> NetworkEndpoint? {
        guard let named = PeerAddress(text), let address = NetworkAddress(named.host) else {
            return nil
        }
        return NetworkEndpoint(address: address, port: named.port)
    }
}
