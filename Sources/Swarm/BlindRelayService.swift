package import Base
package import Wire

/// A relay's side: pairs two streams by a token that both of their owners know, and passes packets on
/// between them, of which it sees headers and ciphertext (`protocol/connect.md`, section 6, and
/// `protocol/udx.md`, section 14).
///
/// A value without I/O. The host makes the connections (`BlindRelayLink`), hands in their messages
/// and every UDX packet that is for none of its own streams.
package struct BlindRelayService: Sendable {
    /// A connection to this relay, by a number of the host's.
    package typealias LinkID = UInt64

    package enum Effect: Equatable, Sendable {
        case send(LinkID, BlindRelayMessage)
        case close(LinkID, reason: String)
        /// A stream id is not used any more.
        case free(streamID: UInt32)
    }

    private struct Link {
        let remote: NetworkEndpoint
        let socket: SocketID
        var pairings = 0
    }

    /// One of the two that asked to be paired.
    private struct Half {
        let link: LinkID
        let streamID: UInt32
    }

    private struct Waiting {
        let half: Half
        let isInitiator: Bool
        let until: Instant
    }

    /// The way to one end of a pair.
    private struct Leg {
        let half: Half
        let token: Bytes32
        /// The stream id, here, of the other end.
        let partner: UInt32
        /// As the connection to the relay had it until the first packet came.
        var remote: NetworkEndpoint
        var socket: SocketID
    }

    private struct Pairing {
        let streams: (UInt32, UInt32)
        var usedAt: Instant
        /// Bytes that may still be passed on, and when that was so.
        var tokens: Int64
        var countedAt: Instant
    }

    private let limits: BlindRelayLimits
    private var links: [LinkID: Link] = [:]
    private var waiting: [Bytes32: Waiting] = [:]
    private var legs: [UInt32: Leg] = [:]
    private var pairings: [Bytes32: Pairing] = [:]
    package private(set) var forwardedBytes: UInt64 = 0
    package private(set) var droppedBytes: UInt64 = 0

    package init(limits: BlindRelayLimits = BlindRelayLimits()) { self.limits = limits }

    package var pairingCount: Int { pairings.count }

    /// - Returns: false to refuse the connection.
    package mutating func opened(
        _ link: LinkID, remote: NetworkEndpoint, socket: SocketID
    ) -> Bool {
        guard links.count < limits.linksMax else { return false }
        links[link] = Link(remote: remote, socket: socket)
        return true
    }

    /// - Parameter makeStreamID: gives a number that no stream of the host has.
    package mutating func receive(
        _ message: BlindRelayMessage, from link: LinkID, now: Instant,
        makeStreamID: () -> UInt32, into effects: inout [Effect]
    ) {
        switch message {
        case .pair(let isInitiator, let token, let streamID):
            pair(
                token, Half(link: link, streamID: streamID), isInitiator, now: now, makeStreamID,
                into: &effects)
        case .unpair(let token):
            if waiting[token]?.half.link == link { stopWaiting(token) }
            if let pairing = pairings[token],
                legs[pairing.streams.0]?.half.link == link
                    || legs[pairing.streams.1]?.half.link == link
            {
                end(token, into: &effects)
            }
        }
    }

    /// The connection is gone, and with it everything that was paired through it.
    package mutating func closed(_ link: LinkID, into effects: inout [Effect]) {
        guard links.removeValue(forKey: link) != nil else { return }
        for token in waiting.keys.sorted() where waiting[token]?.half.link == link {
            waiting[token] = nil
        }
        let tokens = Set(legs.values.filter { $0.half.link == link }.map(\.token))
        for token in tokens.sorted() { end(token, into: &effects) }
    }

    /// Passes one packet on, if it is for a pair and within its budget.
    package mutating func forward(
        _ packet: Span<UInt8>, streamID: UInt32, from source: NetworkEndpoint,
        on socket: SocketID, now: Instant, into batch: inout DatagramBatch,
        effects: inout [Effect]
    ) {
        guard packet.count >= Self.headerSize, let leg = legs[streamID],
            let partner = legs[leg.partner], source.address == leg.remote.address,
            take(packet.count, of: leg.token, now: now)
        else {
            droppedBytes += UInt64(packet.count)
            return
        }
        if leg.remote != source || leg.socket != socket {
            // Its NAT gave it another port towards this socket.
            legs[streamID]?.remote = source
            legs[streamID]?.socket = socket
        }
        let start = batch.bytes.count
        batch.bytes.append(copying: packet)
        for index in 0..<4 {
            batch.bytes[start + 4 + index] = UInt8(
                truncatingIfNeeded: partner.half.streamID >> (8 * UInt32(index)))
        }
        batch.close(to: partner.remote, via: partner.socket)
        forwardedBytes += UInt64(packet.count)
        if packet[2] & Self.destroyBit != 0 { end(leg.token, into: &effects) }
    }

    /// Ends what has been idle or has waited for too long.
    ///
    /// - Returns: when to call again, if nothing happens before.
    package mutating func advance(now: Instant, into effects: inout [Effect]) -> Instant {
        var due = Instant.distantFuture
        for token in waiting.keys.sorted() {
            guard let until = waiting[token]?.until else { continue }
            if now >= until { stopWaiting(token) } else { due = min(due, until) }
        }
        for token in pairings.keys.sorted() {
            guard let pairing = pairings[token] else { continue }
            let until = pairing.usedAt + limits.idleTimeout
            if now >= until { end(token, into: &effects) } else { due = min(due, until) }
        }
        return due
    }

    // MARK: Detail

    private static let headerSize = 20
    private static let destroyBit: UInt8 = 0x10

    private mutating func pair(
        _ token: Bytes32, _ half: Half, _ isInitiator: Bool, now: Instant,
        _ makeStreamID: () -> UInt32, into effects: inout [Effect]
    ) {
        guard let link = links[half.link], pairings[token] == nil else { return }
        guard let first = waiting[token] else {
            guard waiting.count < limits.waitingMax, link.pairings < limits.pairingsPerLinkMax
            else { return effects.append(.send(half.link, .unpair(token: token))) }
            links[half.link]?.pairings += 1
            waiting[token] = Waiting(
                half: half, isInitiator: isInitiator, until: now + limits.waitingTimeout)
            return
        }
        // The same side again, or a stranger in its role.
        guard first.isInitiator != isInitiator, let other = links[first.half.link] else { return }
        guard pairings.count < limits.pairingsMax, link.pairings < limits.pairingsPerLinkMax else {
            return effects.append(.send(half.link, .unpair(token: token)))
        }
        waiting[token] = nil
        links[half.link]?.pairings += 1
        let (left, right) = (makeStreamID(), makeStreamID())
        legs[left] = Leg(
            half: first.half, token: token, partner: right, remote: other.remote,
            socket: other.socket)
        legs[right] = Leg(
            half: half, token: token, partner: left, remote: link.remote, socket: link.socket)
        pairings[token] = Pairing(
            streams: (left, right), usedAt: now, tokens: limits.burstBytes, countedAt: now)
        effects.append(
            .send(
                first.half.link,
                .pair(isInitiator: first.isInitiator, token: token, streamID: left)))
        effects.append(
            .send(half.link, .pair(isInitiator: isInitiator, token: token, streamID: right)))
    }

    private mutating func stopWaiting(_ token: Bytes32) {
        guard let half = waiting.removeValue(forKey: token)?.half else { return }
        links[half.link]?.pairings -= 1
    }

    private mutating func end(_ token: Bytes32, into effects: inout [Effect]) {
        guard let pairing = pairings.removeValue(forKey: token) else { return }
        for stream in [pairing.streams.0, pairing.streams.1] {
            guard let leg = legs.removeValue(forKey: stream) else { continue }
            effects.append(.free(streamID: stream))
            if links[leg.half.link] != nil {
                links[leg.half.link]?.pairings -= 1
                effects.append(.send(leg.half.link, .unpair(token: token)))
            }
        }
    }

    /// Takes `bytes` from the pair's budget.
    private mutating func take(_ bytes: Int, of token: Bytes32, now: Instant) -> Bool {
        guard var pairing = pairings[token] else { return false }
        pairing.usedAt = now
        let elapsed = max(0, (now - pairing.countedAt).nanosecondsClamped)
        // A second's worth at most, so that nothing overflows.
        let gained = min(elapsed, 1_000_000_000) / 1000 * limits.bytesPerSecond / 1_000_000
        if gained > 0 {
            pairing.tokens = min(limits.burstBytes, pairing.tokens + gained)
            pairing.countedAt = now
        }
        defer { pairings[token] = pairing }
        guard pairing.tokens >= Int64(bytes) else { return false }
        pairing.tokens -= Int64(bytes)
        return true
    }
}

/// What a blind relay does for strangers at most.
package struct BlindRelayLimits: Sendable {
    package var linksMax = 512
    package var pairingsMax = 512
    package var pairingsPerLinkMax = 32
    /// Sides that wait for their other.
    package var waitingMax = 1024
    package var waitingTimeout: Duration = .seconds(20)
    /// A pair through which nothing goes for so long is ended.
    package var idleTimeout: Duration = .seconds(60)
    /// Of one pair, both directions together.
    package var bytesPerSecond: Int64 = 16 << 20
    package var burstBytes: Int64 = 4 << 20

    package init() {}
}
