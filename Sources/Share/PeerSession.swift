import Base
import Chunks
import Crypto
import Hypercore
import Noise
import Protomux

/// Why a connection was ended from this side.
struct SessionError: Error {
    let reason: String
    /// Whether the remote is not to blame.
    let isOwnFault: Bool

    init(_ reason: String, isOwnFault: Bool = false) {
        self.reason = reason
        self.isOwnFault = isOwnFault
    }

    init(storage error: StorageError) { self.init("storage: \(error)", isOwnFault: true) }
}

/// One connection: its secret stream, its channels, and how far the remote has proved itself.
///
/// Nothing about the share is said, and nothing of it listened to, before the remote's capability
/// was checked on the control channel.
struct PeerSession {
    struct LogChannel {
        var slot: WriterSlot
        /// How long the remote says its copy is.
        var remoteLength: UInt64 = 0
        /// How much of the log the remote has without a gap.
        var acknowledged: UInt64 = 0
    }

    struct ChunkChannel {
        var channel: Protomux.ChannelID
        var exchange: ChunkExchange
        /// Whether the remote has opened its half.
        var isOpen = false
    }

    let id: ConnectionID
    let isInitiator: Bool
    let address: String
    var stream: SecretStream
    var mux = Protomux()
    /// Whether the handshake was between node keys, so that it says nothing about devices.
    let isNodeKeyed: Bool
    /// The remote's device key, once it is proved.
    var remoteKey: Bytes32?
    /// The remote's number for its running process; 0 if it does not say.
    var remoteInstance: UInt64 = 0
    var handshakeHash: [UInt8] = []
    /// Whether the remote has shown that it holds the share key.
    var isMember = false
    var device = ""
    /// What it asked before it was time to let anybody in.
    var heldJoin: ControlMessage.JoinRequest?
    /// Whether it was shown the own log after others had let that in.
    var isShownOwnLog = false
    /// Where one can start, as it was last told.
    var givenStart: StartingPoint?
    var view = RemoteView()
    var control: Protomux.ChannelID?
    var logs: [Protomux.ChannelID: LogChannel] = [:]
    var chunks: ChunkChannel?
    var bytesSent: UInt64 = 0
    var bytesReceived: UInt64 = 0
    /// Given to the host and not yet on the wire.
    var queuedBytes = 0
    var openedAt: Instant
    var receivedAt: Instant
    var sentAt: Instant

    enum Limits {
        /// From the first byte to a proved capability.
        static let handshakeTime = Duration.seconds(10)
        /// A connection's frames: the largest batch of channel messages fits.
        static let frameSizeMax = 9 << 20
        static let keepAliveInterval = Duration.seconds(5)
        static let silenceMax = Duration.seconds(20)
        /// How long a member may take to hear of the own log from those who have let it in.
        static let hearsayTime = Duration.seconds(10)
    }

    init(
        id: ConnectionID, isInitiator: Bool, address: String, keyPair: KeyPair,
        ephemeral: KeyPair, headerNonce: [UInt8], handshake: HandshakeResult?, now: Instant
    ) {
        self.id = id
        self.isInitiator = isInitiator
        self.address = address
        isNodeKeyed = handshake != nil
        let role: Role = isInitiator ? .initiator : .responder
        if let handshake {
            stream = SecretStream(
                role: role, session: handshake, headerNonce: headerNonce,
                frameSizeMax: Limits.frameSizeMax)
        } else {
            stream = SecretStream(
                role: role, keyPair: keyPair, ephemeral: ephemeral, headerNonce: headerNonce,
                frameSizeMax: Limits.frameSizeMax)
        }
        openedAt = now
        receivedAt = now
        sentAt = now
    }

    /// The channel that replicates `slot`'s log, if one is open or opening.
    func channel(for slot: WriterSlot) -> Protomux.ChannelID? {
        logs.first { $0.value.slot == slot }?.key
    }

    /// The log channels in the order of their slots.
    var inOrder: [(channel: Protomux.ChannelID, log: LogChannel)] {
        logs.sorted { $0.value.slot.rawValue < $1.value.slot.rawValue }
            .map { (channel: $0.key, log: $0.value) }
    }

    /// Encrypts what the channels have to say.
    mutating func takeOutput(into output: inout [UInt8]) {
        guard stream.isConnected else { return }
        for message in mux.takeMessages() { stream.send(message.span, into: &output) }
    }

    /// When this session wants to be looked at again, if nothing happens before.
    func deadline() -> Instant {
        guard isMember else { return openedAt + Limits.handshakeTime }
        return min(sentAt + Limits.keepAliveInterval, receivedAt + Limits.silenceMax)
    }
}
