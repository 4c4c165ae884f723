internal import Base
internal import Crypto
internal import DHT
internal import Wire

/// Announcements and values that nobody signed, that were signed for something else, or that come a
/// second time (threat T8).
package enum ForgeryScenario {
    package struct Row: Equatable, Sendable {
        package let attempt: String
        package let answer: String
        /// Whether the node now says what the attacker wants it to say.
        package let succeeded: Bool
        /// What the protocol allows: then it is no success of an attacker.
        package var isAllowed = false
    }

    package static func run(seed: UInt64) -> [Row] {
        guard var attempts = Attempts(seed: seed) else { return [] }
        attempts.forgeAnnouncements()
        attempts.replayAnnouncements()
        attempts.forgeValues()
        return attempts.rows
    }
}

private struct Attempts {
    var node: LoneNode
    var rows: [ForgeryScenario.Row] = []
    private var random: SeededRandom
    private let victim: KeyPair
    private let attacker: KeyPair
    private let here = LoneNode.stranger(1)
    private let elsewhere = LoneNode.stranger(2)

    init?(seed: UInt64) {
        guard let node = LoneNode(seed: seed) else { return nil }
        self.node = node
        random = SeededRandom(seed: seed)
        victim = KeyPair(seed: Bytes32(using: &random))
        attacker = KeyPair(seed: Bytes32(using: &random))
    }

    mutating func forgeAnnouncements() {
        guard let token = node.token(for: here) else { return }
        let madeUp = Bytes32(using: &random)
        attempt("announce with no token", token: nil) { _, _ in }
        attempt("with a made-up token", token: madeUp) { _, _ in }
        attempt("with the token of another address", token: token, from: elsewhere) { _, _ in }
        attempt("the victim's key, signed by the attacker", token: token, by: attacker) {
            message, victim in message.peer?.publicKey = victim
        }
        attempt("signed for another node", token: token, node: madeUp) { _, _ in }
        attempt("signed for another topic", token: token, signedTopic: madeUp) { _, _ in }
        attempt("signed as an unannouncement", token: token, command: .unannounce) { _, _ in }
        attempt("relay addresses put in after signing", token: token) { message, _ in
            message.peer?.relayAddresses = [LoneNode.stranger(9)]
        }
        attempt("without a signature", token: token) { message, _ in message.signature = nil }
        let own = Blake2b.hash256(victim.publicKey.bytes)
        attempt(
            "the victim's own target, to draw its handshakes", token: token, by: attacker,
            topic: own
        ) {
            message, victim in message.peer?.publicKey = victim
        }
        attempt("renewed with a guessed refresh number", token: token) { message, _ in
            message.peer = nil
            message.signature = nil
            message.refresh = Bytes32(repeating: 7)
        }
    }

    mutating func replayAnnouncements() {
        guard let token = node.token(for: here) else { return }
        let topic = Bytes32(using: &random)
        let announcement = node.announcement(of: topic, by: victim, token: token)
        _ = node.ask(announcement, from: here)
        let unannouncement = RawPacket.request(
            .unannounce, to: node.endpoint, token: token, target: topic,
            value: AnnounceMessage.signed(
                .unannounce, by: victim, target: topic, node: node.id, token: token
            ).encoded())
        _ = node.ask(unannouncement, from: here)
        replay("unannounced, then replayed from another address", announcement, topic, elsewhere)
        replay(
            "replayed from the victim's address within 15 s", announcement, topic, here,
            isAllowed: true)
        _ = node.ask(unannouncement, from: here)
        node.wait(.seconds(16))
        replay("replayed from the victim's address after 16 s", announcement, topic, here)
        node.wait(.seconds(30 * 60))
        replay("replayed after half an hour", announcement, topic, here)
        bumpAhead()
    }

    private mutating func bumpAhead() {
        guard let token = node.token(for: here) else { return }
        let topic = Bytes32(using: &random)
        let ahead =
            LoneNode.unixMillisecondsAtZero + node.now.nanoseconds / 1_000_000 + 3_600_000
        let message = AnnounceMessage.signed(
            .announce, by: attacker, target: topic, node: node.id, token: token, bump: ahead)
        let response = node.ask(
            RawPacket.request(
                .announce, to: node.endpoint, token: token, target: topic,
                value: message.encoded()), from: here)
        let lookup = node.ask(
            RawPacket.request(.lookup, to: node.endpoint, target: topic), from: elsewhere)
        let bump = lookup?.value.flatMap { try? LookupReply(decoding: $0) }?.bump ?? 0
        note("a bump one hour ahead", response, succeeded: bump >= ahead)
    }

    mutating func forgeValues() {
        guard let token = node.token(for: here) else { return }
        let target = Blake2b.hash256(victim.publicKey.bytes)
        func put(_ sequence: UInt64, _ value: [UInt8], by keyPair: KeyPair) -> [UInt8] {
            let content = MutableValue(sequence: sequence, value: value, signedBy: keyPair)
            let message = MutablePutMessage(publicKey: victim.publicKey, content: content)
            return RawPacket.request(
                .mutablePut, to: node.endpoint, token: token, target: target,
                value: message.encoded())
        }
        _ = node.ask(put(5, [5], by: victim), from: here)
        for (name, datagram) in [
            ("a mutable value with an older number", put(4, [4], by: victim)),
            ("another value with the same number", put(5, [6], by: victim)),
            ("a newer value, signed by the attacker", put(6, [7], by: attacker)),
        ] {
            let response = node.ask(datagram, from: here)
            let stored = node.ask(
                RawPacket.request(.mutableGet, to: node.endpoint, target: target, value: [0]),
                from: elsewhere)
            let value = stored?.value.flatMap { try? MutableValue(decoding: $0) }?.value
            note(name, response, succeeded: value != [5])
        }
        let wrong = Bytes32(using: &random)
        let response = node.ask(
            RawPacket.request(
                .immutablePut, to: node.endpoint, token: token, target: wrong, value: [1, 2, 3]),
            from: here)
        let stored = node.ask(
            RawPacket.request(.immutableGet, to: node.endpoint, target: wrong), from: elsewhere)
        note("a value under a hash that is not its own", response, succeeded: stored?.value != nil)
    }

    // MARK: One attempt

    private mutating func attempt(
        _ name: String, token: Bytes32?, from source: NetworkEndpoint? = nil,
        by keyPair: KeyPair? = nil, node signedNode: Bytes32? = nil, topic: Bytes32? = nil,
        signedTopic: Bytes32? = nil, command: DHTCommand = .announce,
        change: (inout AnnounceMessage, Bytes32) -> Void
    ) {
        let topic = topic ?? Bytes32(using: &random)
        var message = AnnounceMessage.signed(
            command, by: keyPair ?? victim, target: signedTopic ?? topic,
            node: signedNode ?? node.id, token: token ?? .zero)
        change(&message, victim.publicKey)
        let response = node.ask(
            RawPacket.request(
                .announce, to: node.endpoint, token: token, target: topic,
                value: message.encoded()), from: source ?? here)
        note(name, response, succeeded: node.holds(victim.publicKey, under: topic))
    }

    private mutating func replay(
        _ name: String, _ datagram: [UInt8], _ topic: Bytes32, _ source: NetworkEndpoint,
        isAllowed: Bool = false
    ) {
        let response = node.ask(datagram, from: source)
        note(
            name, response, succeeded: node.holds(victim.publicKey, under: topic),
            isAllowed: isAllowed)
    }

    private mutating func note(
        _ name: String, _ response: RawPacket.Response?, succeeded: Bool, isAllowed: Bool = false
    ) {
        let answer = response.map { $0.error == 0 ? "OK" : "error \($0.error)" } ?? "none"
        rows.append(
            ForgeryScenario.Row(
                attempt: name, answer: answer, succeeded: succeeded, isAllowed: isAllowed))
    }
}
