/// The named bounds of this target: sizes of the format, and how much a peer may ask of us.
package enum ChunkLimits {
    /// A file of at most this many bytes travels inside its operation.
    package static let inlineSizeMax = 4096
    /// No chunk but the last before a hole or the end of a file is shorter, in bytes.
    package static let chunkSizeMin = 32 << 10
    /// Where the boundary rule becomes easier to meet: about the mean size, in bytes.
    package static let chunkSizeAverage = 128 << 10
    /// No chunk is longer, in bytes.
    package static let chunkSizeMax = 512 << 10
    /// The longest ciphertext: `chunkSizeMax` is a Padmé class of its own, so padding adds nothing.
    package static let ciphertextSizeMax = chunkSizeMax
    /// A run of zero bytes at least this long is a hole.
    package static let holeSizeMin = 64 << 10
    /// The greatest file size: what a varint of `Wire` carries.
    package static let fileSizeMax: UInt64 = (1 << 53) - 1

    /// The longest list of pieces that travels inside an operation.
    package static let rootPiecesMax = 64
    /// A list chunk, but for the last of its level, has at least this many pieces: more than a root
    /// may have, so that a list which fits in a root is never cut.
    package static let listPiecesMin = rootPiecesMax + 1
    /// No list chunk has more pieces.
    package static let listPiecesMax = 1024
    /// Levels of list chunks. Files of `fileSizeMax` bytes need five.
    package static let treeDepthMax = 6
    /// In a list that is believed, all pieces but one are on average at least this long, in bytes.
    package static let pieceSizeMeanMin: UInt64 = 4096

    /// List chunks that one reader keeps decoded.
    package static let cachedListsMax = 16
    /// References named by one answer to "what is missing?".
    package static let missingReportedMax = 256
    /// Pieces of the base that a rebuild copies one by one: only a base that was not cut by our
    /// rules asks for so many.
    package static let copiedPiecesMax = 1 << 24

    /// Chunks asked of one peer and not answered yet; a peer that has asked for more breaks the rules.
    package static let wantsInFlightMax = 256
    /// Of these, how many are kept free for each priority above: a reader's want need not wait behind
    /// a bulk of others.
    package static let wantsReserved = 32
    /// Expected ciphertext bytes of what is asked of one peer and not answered yet.
    package static let wantedBytesInFlightMax = 32 << 20
    /// A chunk is read for a peer only while less than this waits to be sent to it, in bytes. A want
    /// that comes first because of its priority waits for no more than this and a chunk; and so little
    /// that logs, whose answers wait while 1 MiB is queued, have their turn while chunks are sent.
    package static let servedBytesQueuedMax = 448 << 10
    /// Addresses in one `have`.
    package static let announcedMax = 1024
    /// Addresses that a peer has asked for in vain and will be told of when they arrive.
    package static let missedMax = 4096
    /// A peer that has been asked for chunks and answers none for so long is given up. A chunk on a
    /// slow link takes long: 512 KiB at 5 kB/s arrive in time.
    package static let answerTimeMax = Duration.seconds(120)
}
