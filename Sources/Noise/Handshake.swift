package import Base
package import Crypto

/// Who speaks first.
package enum Role: Sendable {
    case initiator, responder

    package var other: Role { self == .initiator ? .responder : .initiator }
}

/// What a finished handshake leaves: two keys and a hash that only the two sides know, and the key
/// that the other side has shown to hold.
package struct HandshakeResult: Equatable, Sendable {
    package var sendKey: Bytes32
    package var receiveKey: Bytes32
    /// 64 bytes.
    package var handshakeHash: [UInt8]
    /// Nil after NN, which shows none.
    package var remotePublicKey: Bytes32?

    package init(
        sendKey: Bytes32, receiveKey: Bytes32, handshakeHash: [UInt8], remotePublicKey: Bytes32?
    ) {
        self.sendKey = sendKey
        self.receiveKey = receiveKey
        self.handshakeHash = handshakeHash
        self.remotePublicKey = remotePublicKey
    }
}

/// A Noise handshake (The Noise Protocol Framework, revision 34) as one side sees it, over Ed25519
/// points with ChaChaPoly and BLAKE2b: `Noise_XX_Ed25519_ChaChaPoly_BLAKE2b` and its like.
///
/// The two sides write and read in turn, the initiator first, until `result` is there. After a throw
/// the handshake is over.
package struct Handshake: Sendable {
    package enum Pattern: String, Sendable {
        /// Both show their keys; neither needs to know the other's.
        case xx = "XX"
        /// The initiator knows the responder's key beforehand.
        case ik = "IK"
        /// Neither shows a key.
        case nn = "NN"

        /// What each message carries; section 7.5.
        fileprivate var messages: [[Token]] {
            switch self {
            case .xx: [[.e], [.e, .ee, .s, .es], [.s, .se]]
            case .ik: [[.e, .es, .s, .ss], [.e, .ee, .se]]
            case .nn: [[.e], [.e, .ee]]
            }
        }
    }

    /// The tokens of section 7.1: keys sent, and agreements, the initiator's key named first.
    fileprivate enum Token: Sendable { case e, s, ee, es, se, ss }

    private let pattern: Pattern
    private let role: Role
    private let staticKey: KeyPair
    private let ephemeralKey: KeyPair
    private var remoteStaticKey: Bytes32?
    private var remoteEphemeralKey: Bytes32?
    private var symmetric: SymmetricState
    /// How many messages have passed, both ways.
    private var step = 0
    private var hasFailed = false

    /// - Parameters:
    ///   - staticKey: unused by NN.
    ///   - ephemeralKey: fresh; never used in two handshakes.
    ///   - remoteStaticKey: the responder's key, which the initiator of IK must know.
    package init(
        pattern: Pattern, role: Role, prologue: [UInt8] = [], staticKey: KeyPair,
        ephemeralKey: KeyPair, remoteStaticKey: Bytes32? = nil
    ) {
        self.pattern = pattern
        self.role = role
        self.staticKey = staticKey
        self.ephemeralKey = ephemeralKey
        symmetric = SymmetricState(
            protocolName: "Noise_\(pattern.rawValue)_Ed25519_ChaChaPoly_BLAKE2b",
            prologue: prologue)
        guard pattern == .ik else { return }
        switch role {
        case .initiator:
            guard let remoteStaticKey else { preconditionFailure("IK needs the responder's key") }
            self.remoteStaticKey = remoteStaticKey
            symmetric.mixHash(remoteStaticKey.bytes.span)
        case .responder:
            symmetric.mixHash(staticKey.publicKey.bytes.span)
        }
    }

    /// The key that the other side has shown so far (or was known to hold).
    package var remotePublicKey: Bytes32? { remoteStaticKey }

    /// Nil until the last message has passed.
    package var result: HandshakeResult? {
        guard !hasFailed, step == pattern.messages.count else { return nil }
        let (first, second) = symmetric.split()
        return HandshakeResult(
            sendKey: role == .initiator ? first : second,
            receiveKey: role == .initiator ? second : first,
            handshakeHash: symmetric.hash, remotePublicKey: remoteStaticKey)
    }

    /// Whether this side writes the next message.
    package var isOurTurn: Bool {
        !hasFailed && step < pattern.messages.count && (step % 2 == 0) == (role == .initiator)
    }

    /// The hash of everything said so far, and the key that the next agreement is mixed into.
    var runningState: (hash: [UInt8], chainingKey: [UInt8]) {
        (symmetric.hash, symmetric.chainingKey)
    }

    /// The next message, with `payload` in it: in the clear if no key has been agreed on yet.
    ///
    /// - Throws: `.unexpectedMessage` out of turn, `.badLength` for a message above 65535 bytes,
    ///   `.badPublicKey` if the other side's key is no good point.
    package mutating func write(payload: Span<UInt8>) throws(NoiseError) -> [UInt8] {
        guard isOurTurn else { throw fail(.unexpectedMessage) }
        var message: [UInt8] = []
        for token in pattern.messages[step] {
            switch token {
            case .e:
                message += ephemeralKey.publicKey.bytes
                symmetric.mixHash(ephemeralKey.publicKey.bytes.span)
            case .s:
                message += symmetric.encryptAndHash(staticKey.publicKey.bytes.span)
            case .ee, .es, .se, .ss:
                try mixKey(token)
            }
        }
        message += symmetric.encryptAndHash(payload)
        guard message.count <= Limits.noiseMessageSizeMax else {
            throw fail(.badLength(message.count))
        }
        step += 1
        return message
    }

    /// Reads the other side's next message.
    ///
    /// - Returns: its payload.
    /// - Throws: `.unexpectedMessage` out of turn, `.badLength`, `.badPublicKey`, `.forged`.
    package mutating func read(_ message: Span<UInt8>) throws(NoiseError) -> [UInt8] {
        guard !isOurTurn, !hasFailed, step < pattern.messages.count else {
            throw fail(.unexpectedMessage)
        }
        guard message.count <= Limits.noiseMessageSizeMax else {
            throw fail(.badLength(message.count))
        }
        var rest = message
        for token in pattern.messages[step] {
            switch token {
            case .e:
                guard let key = Bytes32(rest.extracting(first: Bytes32.count)) else {
                    throw fail(.badLength(message.count))
                }
                symmetric.mixHash(rest.extracting(first: Bytes32.count))
                remoteEphemeralKey = key
                rest = rest.extracting(droppingFirst: Bytes32.count)
            case .s:
                let size = Bytes32.count + (symmetric.hasKey ? ChaCha20Poly1305.tagSize : 0)
                guard rest.count >= size else { throw fail(.badLength(message.count)) }
                remoteStaticKey = Bytes32(try decrypt(rest.extracting(first: size)))
                rest = rest.extracting(droppingFirst: size)
            case .ee, .es, .se, .ss:
                try mixKey(token)
            }
        }
        let payload = try decrypt(rest)
        step += 1
        return payload
    }

    private mutating func decrypt(_ bytes: Span<UInt8>) throws(NoiseError) -> [UInt8] {
        do {
            return try symmetric.decryptAndHash(bytes)
        } catch {
            throw fail(error)
        }
    }

    /// Mixes what both sides agree on from the two keys that the token names.
    private mutating func mixKey(_ token: Token) throws(NoiseError) {
        let isInitiator = role == .initiator
        let (own, remote) =
            switch token {
            case .ee: (ephemeralKey, remoteEphemeralKey)
            case .ss: (staticKey, remoteStaticKey)
            case .es:
                isInitiator ? (ephemeralKey, remoteStaticKey) : (staticKey, remoteEphemeralKey)
            default: isInitiator ? (staticKey, remoteEphemeralKey) : (ephemeralKey, remoteStaticKey)
            }
        guard let remote else { preconditionFailure("\(pattern) has no key for \(token) yet") }
        do {
            try symmetric.mixKey(own.sharedSecret(with: remote))
        } catch {
            throw fail(NoiseError(error))
        }
    }

    private mutating func fail(_ error: NoiseError) -> NoiseError {
        hasFailed = true
        return error
    }
}
