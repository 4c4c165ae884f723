package import Base
package import Chunks
package import Crypto

/// Everything that the share key determines. Each is BLAKE2b-256 of a label, keyed with the share
/// key, so that none reveals another.
package struct ShareKeys: Sendable {
    package let shareKey: Bytes32
    /// The public name of the share: names its folder, shown by `status`.
    package let shareID: Bytes32
    /// Encrypts the blocks of every log (Hypercore's block encryption, with each log's own key).
    package let logEncryptionKey: Bytes32
    /// Keys of convergent encryption and of where chunks are cut.
    package let contentKeys: ContentKeys
    /// Proves, on one connection, that the share key is held.
    package let memberKey: Bytes32
    /// Names the control channel: says nothing to those who do not know it already.
    package let controlChannel: Bytes32
    /// Names the chunk channel.
    package let chunkChannel: Bytes32
    /// Under which members meet.
    package let dataTopic: Bytes32
    /// Under which a device that is not yet a member finds members.
    package let bootstrapTopic: Bytes32

    package init(shareKey: Bytes32) {
        func derived(_ label: String) -> Bytes32 {
            Blake2b.hash256(key: shareKey, Array("holdfast \(label)".utf8))
        }
        self.shareKey = shareKey
        shareID = derived("share id")
        logEncryptionKey = derived("log encryption")
        contentKeys = ContentKeys(shareKey: shareKey)
        memberKey = derived("member")
        controlChannel = derived("control channel")
        chunkChannel = derived("chunk channel")
        dataTopic = derived("data topic")
        bootstrapTopic = derived("bootstrap topic")
    }

    /// The key pair under which a device takes part in the DHT for this share.
    ///
    /// Not the device's own: the DHT keeps one place for a key, and each share of a device is served
    /// by a process of its own; and whoever watches the DHT cannot tell that two shares have a
    /// device in common. Which device it is, is proved within the connection (`ControlMessage`).
    package func nodeKey(of device: KeyPair) -> KeyPair {
        KeyPair(
            seed: Blake2b.hash256(
                key: device.seed, Array("holdfast node key".utf8) + shareID.bytes))
    }

    /// What one side of a connection shows to prove that it holds the share key.
    ///
    /// - Parameters:
    ///   - handshakeHash: of the Noise handshake (64 bytes): binds the proof to this connection.
    ///   - isInitiator: the role of the side that shows it, so that it cannot be echoed back.
    package func capability(handshakeHash: [UInt8], isInitiator: Bool) -> Bytes32 {
        Blake2b.hash256(key: memberKey, handshakeHash + [isInitiator ? 1 : 0])
    }

    /// The signer namespace of a device's log in this share: sets apart the logs that one device
    /// key signs in different shares, or after its log was abandoned (`generation`).
    package func logNamespace(generation: UInt8) -> Bytes32 {
        Blake2b.hash256(key: shareID, Array("holdfast log".utf8) + [generation])
    }
}
