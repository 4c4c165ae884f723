/// What a request asks for. Internal commands are those of the RPC layer and have numbers of their
/// own (`dht.md` 3.5); the others are HyperDHT's (`dht.md` 9).
package enum DHTCommand: Hashable, Sendable {
    case ping
    /// Answer to the same host at another port, so that the asker learns whether that is reachable.
    case pingNAT
    case findNode
    /// A node that the sender could not reach.
    case downHint
    case delayedPing

    case peerHandshake
    case peerHolepunch
    case findPeer
    case lookup
    case announce
    case unannounce
    case mutablePut
    case mutableGet
    case immutablePut
    case immutableGet
    case plugin

    case unknown(isInternal: Bool, number: UInt64)

    private static let internalCommands: [DHTCommand] = [
        .ping, .pingNAT, .findNode, .downHint, .delayedPing,
    ]
    private static let commands: [DHTCommand] = [
        .peerHandshake, .peerHolepunch, .findPeer, .lookup, .announce, .unannounce, .mutablePut,
        .mutableGet, .immutablePut, .immutableGet, .plugin,
    ]

    package init(isInternal: Bool, number: UInt64) {
        let known = isInternal ? Self.internalCommands : Self.commands
        let index = Int(clamping: number)
        self =
            known.indices.contains(index)
            ? known[index] : .unknown(isInternal: isInternal, number: number)
    }

    package var isInternal: Bool {
        switch self {
        case .ping, .pingNAT, .findNode, .downHint, .delayedPing: true
        case .unknown(let isInternal, _): isInternal
        default: false
        }
    }

    package var number: UInt64 {
        switch self {
        case .ping, .peerHandshake: 0
        case .pingNAT, .peerHolepunch: 1
        case .findNode, .findPeer: 2
        case .downHint, .lookup: 3
        case .delayedPing, .announce: 4
        case .unannounce: 5
        case .mutablePut: 6
        case .mutableGet: 7
        case .immutablePut: 8
        case .immutableGet: 9
        case .plugin: 10
        case .unknown(_, let number): number
        }
    }
}

/// The errors that a reply may carry; zero is none (`dht.md` 3.6).
package enum DHTErrorCode {
    package static let unknownCommand: UInt64 = 1
    package static let invalidToken: UInt64 = 2
    /// A mutable value of this sequence number is stored, and it is another one.
    package static let sequenceReused: UInt64 = 16
    /// A mutable value with a higher sequence number is stored.
    package static let sequenceTooLow: UInt64 = 17
}
