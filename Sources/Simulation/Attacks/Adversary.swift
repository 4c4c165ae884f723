internal import Base
internal import DHT
internal import Wire

/// A hostile node. It runs the real protocol to be known and trusted, and departs from it for what
/// it is asked about its victims.
struct Adversary: Sendable {
    enum Behaviour: Sendable {
        /// Says nothing when it is asked about a topic.
        case swallow
        /// Says that there is nothing, names its friends, and promises to store.
        case lie
    }

    let behaviour: Behaviour
    /// The other hostile nodes, nearest to the topic first.
    let friends: [NetworkEndpoint]
    let id: Bytes32
}

extension DHTWorld {
    /// A hostile node's answer to what concerns topics; false if its node shall handle the datagram.
    mutating func intercept(_ delivery: VirtualNetwork.Delivery) -> Bool {
        let index = delivery.host.index
        guard let adversary = members[index].adversary,
            let request = RequestSummary(network.payload), !request.isInternal
        else { return false }
        switch adversary.behaviour {
        case .swallow: return true
        case .lie: break
        }
        let isWrite = [UInt8(DHTCommand.announce.number), UInt8(DHTCommand.unannounce.number)]
            .contains(request.command)
        var writer = WireWriter(reserving: 256)
        writer.writeUInt8(0x13)
        // An id; for a read a token and closer nodes as well.
        writer.writeUInt8(isWrite ? 1 : 1 | 2 | 4)
        writer.writeUInt16(request.transaction)
        writer.writeEndpointBytes(delivery.source)
        writer.writeBytes32(adversary.id)
        if !isWrite {
            writer.writeBytes32(adversary.id)
            let friends = adversary.friends.prefix(DHTLimits.closerNodesMax)
            writer.writeUInt(friends.count)
            for friend in friends { writer.writeEndpointBytes(friend) }
        }
        network.send(writer.bytes.span, from: delivery.host, via: .server, to: delivery.source)
        return true
    }
}
