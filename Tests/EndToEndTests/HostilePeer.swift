import Base
import Crypto
import Noise
import Protomux
import Share

/// One who speaks the lower layers well and means no good.
struct HostilePeer {
    let socket: LoopbackSocket
    private var stream: SecretStream
    private var mux = Protomux()
    private(set) var handshakeHash: [UInt8] = []
    /// What the other side said on its channels.
    private(set) var events: [Protomux.Event] = []

    /// Shakes hands as anybody can who knows the port.
    ///
    /// - Throws: if the other side does not take part.
    init(port: UInt16, seed: UInt64) throws {
        socket = try LoopbackSocket(port: port)
        var random = SeededRandom(seed: seed)
        stream = SecretStream(
            role: .initiator, keyPair: KeyPair(using: &random), ephemeral: KeyPair(using: &random),
            headerNonce: random.bytes(24))
        var output: [UInt8] = []
        stream.start(into: &output)
        socket.send(output)
        for _ in 0..<50 where handshakeHash.isEmpty { try receive() }
        guard !handshakeHash.isEmpty else {
            throw SubprocessError(description: "no handshake with port \(port)")
        }
    }

    /// Takes in what has come, waiting a tenth of a second for it.
    mutating func receive() throws {
        guard let bytes = socket.receive() else {
            throw SubprocessError(description: "dropped during the handshake")
        }
        var output: [UInt8] = []
        var heard: [SecretStream.Event] = []
        try stream.receive(bytes.span, events: &heard, output: &output)
        if !output.isEmpty { socket.send(output) }
        for event in heard {
            switch event {
            case .connected(_, let hash): handshakeHash = hash
            case .message(let message): try mux.receive(message.span, events: &events)
            }
        }
    }

    /// Sends one message of the secret stream, whatever it says.
    @discardableResult
    mutating func send(_ message: [UInt8]) -> Bool {
        var output: [UInt8] = []
        stream.send(message.span, into: &output)
        return socket.send(output)
    }

    /// Bytes in a well-formed frame that nobody encrypted.
    func sendFrame(_ bytes: [UInt8]) {
        let length = bytes.count
        socket.send([UInt8(length & 0xff), UInt8(length >> 8 & 0xff), UInt8(length >> 16)] + bytes)
    }

    /// Opens a channel and says things on it.
    ///
    /// - Returns: whether all was taken; not if the other side has dropped the connection.
    @discardableResult
    mutating func open(
        _ name: String, id: [UInt8], handshake: [UInt8],
        messages: [(type: Int, payload: [UInt8])] = []
    ) -> Bool {
        let channel = mux.open(name, id: id, handshake: handshake)
        for message in messages { mux.send(channel, type: message.type, payload: message.payload) }
        return mux.takeMessages().allSatisfy { send($0) }
    }

    /// Opens the control channel with the proof that the share key is held, as a member would.
    mutating func openControl(
        _ keys: ShareKeys, messages: [(type: Int, payload: [UInt8])] = []
    ) -> Bool {
        let proof = keys.capability(handshakeHash: handshakeHash, isInitiator: true)
        return open(
            ControlMessage.protocolName, id: keys.controlChannel.bytes,
            handshake: [UInt8(ControlMessage.version)] + proof.bytes, messages: messages)
    }
}
