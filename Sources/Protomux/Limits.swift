/// Bounds on what the other side can make us keep.
package enum Limits {
    /// The greatest channel id, and so the most channels at once, that the other side may use.
    package static let channelsMax = 4096

    /// Opens of the other side that wait for an answer; more are rejected at once.
    package static let waitingOpensMax = 256

    /// Bytes kept for channels that wait for an answer, their handshakes and early messages; each
    /// counts `keptOverhead` more. A channel that goes beyond is rejected.
    package static let keptBytesMax = 1 << 20
    package static let keptOverhead = 512

    /// The longest protocol name and channel id, in bytes.
    package static let nameSizeMax = 1024

    /// Where a batch is cut: the next message begins another.
    package static let batchSizeMax = 8 << 20

    /// The longest payload of a message: what a secret-stream message holds (16777198 bytes) without
    /// what a batch of one adds to it.
    package static let payloadSizeMax = 16_777_198 - 64
}
