internal import Base
internal import DHT
internal import UDX
internal import Wire

/// A node that makes connections, as a host drives it: with its streams.
struct Peer: Sendable {
    struct Connection: Sendable {
        let tag: ConnectionTag
        var stream: UDXStream
        var path: ConnectionPath?
        var received: [UInt8] = []
    }

    /// What each side writes first: as long as the head of a secret stream.
    static let hello = [UInt8](repeating: 0x68, count: 59)

    var dht: HyperDHT
    /// By the stream's number.
    private(set) var connections: [UInt32: Connection] = [:]
    private(set) var isReady = false
    private(set) var isListening = false
    private(set) var failure: ConnectFailure?
    /// When a hello of the other side had come whole.
    private(set) var heardAt: Instant?
    private var streamEvents: [UDXEvent] = []

    init(_ dht: HyperDHT) { self.dht = dht }

    var deadline: Instant {
        connections.values.reduce(dht.deadline) { min($0, $1.stream.deadline) }
    }

    /// How the hello came.
    var path: ConnectionPath? {
        connections.keys.sorted().lazy.compactMap { connections[$0] }
            .first { $0.received == Self.hello }?.path
    }

    /// One datagram of any protocol.
    mutating func receive(
        _ datagram: Span<UInt8>, from source: NetworkEndpoint, on socket: SocketID, now: Instant,
        into effects: inout HyperDHTEffects
    ) {
        if datagram.count == 1 {
            dht.receiveProbe(from: source, on: socket, now: now, into: &effects)
        } else if let header = UDXHeader.parse(datagram),
            let connection = connections[header.streamID]
        {
            if connection.path == nil || connection.path == .relayed,
                !dht.streamPacket(
                    streamID: header.streamID, from: source, on: socket, now: now, into: &effects)
            {
                return
            }
            // The packet is for a stream that is connected now.
            carryOut(effects.events, now: now)
            var received: [UInt8] = []
            connections[header.streamID]?.stream.receive(
                datagram, now: now, received: &received, events: &streamEvents)
            connections[header.streamID]?.received += received
            streamEvents.removeAll(keepingCapacity: true)
            if heardAt == nil, connections[header.streamID]?.received == Self.hello {
                heardAt = now
            }
        } else {
            dht.receive(datagram, from: source, on: socket, now: now, into: &effects)
        }
    }

    mutating func advance(now: Instant, into effects: inout HyperDHTEffects) {
        dht.advance(now: now, into: &effects)
        for id in connections.keys.sorted() {
            connections[id]?.stream.advance(now: now, events: &streamEvents)
        }
        streamEvents.removeAll(keepingCapacity: true)
    }

    /// What the streams have to send.
    mutating func flush(now: Instant, into batch: inout DatagramBatch) {
        for id in connections.keys.sorted() {
            connections[id]?.stream.flush(now: now, into: &batch)
        }
    }

    /// What the host has to do with its streams; sockets are the network's matter. An event may be
    /// handed in twice.
    mutating func carryOut(_ events: [HyperDHTEvent], now: Instant) {
        for event in events {
            switch event {
            case .reserved(let tag, let id, _):
                guard connections[id] == nil else { continue }
                connections[id] = Connection(tag: tag, stream: UDXStream(localID: id))
            case .connected(_, let made):
                let id = made.localStreamID
                guard connections[id]?.path == nil else { continue }
                connections[id]?.path = made.path
                connections[id]?.stream.connect(
                    remoteID: made.remoteStreamID, remote: made.remote, via: made.socket, now: now)
                connections[id]?.stream.write(Self.hello.span)
            case .failed(let tag, let dial, let reason):
                if dial != nil { failure = reason }
                for id in connections.keys.sorted() where connections[id]?.tag == tag {
                    connections[id] = nil
                }
            case .listening(let relays): isListening = !relays.isEmpty
            case .node(.ready): isReady = true
            default: continue
            }
        }
    }
}
