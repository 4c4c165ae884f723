internal import Base

/// Parts of a log with what it takes to check them against what the receiver trusts.
///
/// Up to one of each part; of block and hash at most one is used.
struct Proof: Equatable, Sendable {
    /// The bytes of one block and the path from its leaf upwards.
    struct Block: Equatable, Sendable {
        var index: UInt64
        var bytes: [UInt8]
        var nodes: [TreeNode]
    }

    /// One tree node, then the path from it upwards.
    struct Hash: Equatable, Sendable {
        var index: UInt64
        var nodes: [TreeNode]
    }

    /// The node where a byte offset falls, then the path from it to where it joins the rest.
    struct Seek: Equatable, Sendable {
        var bytes: UInt64
        var nodes: [TreeNode]
    }

    /// That a log of `start + length` blocks and more is a signed continuation of the first `start`.
    struct Upgrade: Equatable, Sendable {
        var start: UInt64
        var length: UInt64
        /// What is missing between the receiver's roots and those of `start + length`.
        var nodes: [TreeNode]
        /// What is missing from there to the sender's whole log, which is what the signature covers.
        var additionalNodes: [TreeNode]
        var signature: [UInt8]
    }

    var fork: UInt64
    var block: Block?
    var hash: Hash?
    var seek: Seek?
    var upgrade: Upgrade?
    var manifest: Manifest?

    init(
        fork: UInt64, block: Block? = nil, hash: Hash? = nil, seek: Seek? = nil,
        upgrade: Upgrade? = nil, manifest: Manifest? = nil
    ) {
        self.fork = fork
        self.block = block
        self.hash = hash
        self.seek = seek
        self.upgrade = upgrade
        self.manifest = manifest
    }
}

/// Why a proof was not taken in.
enum ProofError: Error, Equatable {
    /// It does not follow the rules of proofs: nobody honest sends it.
    case malformed(String)
    /// It is well formed and contradicts what is known, or is not signed by the log's signers.
    case refuted(String)
    /// It ends at a node that is not known here.
    case unknownRoot
    /// It was made for a length or a fork that has passed.
    case stale
    case storage(StorageError)
}

/// Why a proof cannot be given.
enum ProofRefusal: Error, Equatable {
    /// Blocks or nodes are not here.
    case notAvailable
    /// Nobody could answer that.
    case invalid(String)
    case storage(StorageError)
}
