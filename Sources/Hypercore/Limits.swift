/// Bounds on what a peer can make this device hold, send or compute.
enum Limits {
    /// Stored bytes of one block, encryption included.
    static let blockSizeMax = 1 << 20
    /// Blocks of one log; keeps every index and sum far from the ends of an integer.
    static let lengthMax: UInt64 = 1 << 48
    /// The greatest number a varint may carry.
    static let forkMax: UInt64 = (1 << 53) - 1
    /// Bytes below one node; the greatest number a varint may carry.
    static let byteLengthMax: UInt64 = (1 << 53) - 1
    /// Nodes in one list of a proof: twice the height of the tallest tree.
    static let proofNodesMax = 128
    /// Signers of a manifest, and signatures over one tree.
    static let signersMax = 64
    /// Keys a manifest may link to.
    static let linkedMax = 256
    /// Bytes of a manifest's user data.
    static let userDataSizeMax = 4096
    /// Bytes of one encoded signature.
    static let signatureSizeMax = 16 << 10
    /// Bytes of an extension's name.
    static let extensionNameSizeMax = 256
    /// Words of one bitfield message: as many blocks as one Want may name.
    static let bitfieldWordsMax = 1 << 16
    /// Blocks of one Want.
    static let wantLengthMax: UInt64 = 1 << 21
    /// Ranges a peer may want at a time, and ranges we ask a peer about.
    static let wantsMax = 512
    /// Runs of blocks remembered of one peer.
    static let remoteRunsMax = 4096
    /// Requests of one peer that wait for the connection to drain.
    static let waitingRequestsMax = 1024
    /// Requests of one peer that cannot be right, before it is dropped.
    static let invalidRequestsMax = 64
    /// Refusals of one peer, after which it is asked for nothing more.
    static let refusalsMax = 256
    /// Unasked proofs from zero that one peer may send.
    static let unaskedProofsMax = 4
    /// Bytes queued on a connection above which answers wait.
    static let queuedBytesMax = 1 << 20
    /// Requests in flight to one peer.
    static let requestsInFlightMax = 512
    static let requestsInFlightMin = 4
    /// Stored bytes that the requests in flight to one peer may amount to, going by the log's average.
    static let bytesInFlight: UInt64 = 4 << 20
    /// How long a peer may leave requests unanswered.
    static let answerTimeout: Duration = .seconds(20)
    /// How long a peer may claim more of this device's own log than anybody shows to follow on what is here.
    static let unfollowedPatience: Duration = .seconds(10)
    /// Answers that came before what they were to build on, after which requests stop building on
    /// each other.
    static let disorderMax = 8
    /// Nodes kept in memory per log and generation.
    static let cachedNodesMax = 1024
    /// Stored blocks that the header in storage may lag behind.
    static let headerLagMax: UInt64 = 256
    /// Changes of what is stored before peers are told while more blocks are under way.
    static let unannouncedMax = 32
}
