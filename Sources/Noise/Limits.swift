internal import Crypto

/// Bounds on what a stream takes in and gives out.
package enum Limits {
    /// The longest frame, not counting its 3-byte length: what three bytes can say.
    package static let frameSizeMax = (1 << 24) - 1

    /// The longest message: the longest frame without what encryption adds.
    package static let messageSizeMax = frameSizeMax - SecretStreamState.overhead

    /// The longest frame before the peer has shown its key. The longest handshake message is 96 bytes.
    package static let handshakeFrameSizeMax = 1024

    /// The longest Noise message.
    package static let noiseMessageSizeMax = 65535

    /// A receive buffer above this many bytes is given back once its frame is done.
    package static let keptBufferSizeMax = 1 << 20
}
