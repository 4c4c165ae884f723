internal import Base

/// The ten messages of a `hypercore/alpha` channel, by their type numbers.
enum MessageType: Int, Sendable {
    case sync, request, cancel, data, noData, want, unwant, bitfield, range, `extension`
}

/// What the sender's log is like, and what it thinks of the receiver's.
struct SyncMessage: Equatable, Sendable {
    var fork: UInt64 = 0
    var length: UInt64 = 0
    /// The receiver's length as the sender knows it: an acknowledgement. 0 if the forks differ.
    var remoteLength: UInt64 = 0
    /// The sender can prove to the receiver how its log continues the receiver's.
    var canUpgrade = false
    var uploading = false
    var downloading = false
    var hasManifest = false
    var allowPush = false
}

/// A question for parts of a log. Answered with Data or NoData of the same id.
struct RequestMessage: Equatable, Sendable {
    /// `nodes` is how many parents above the leaf the asker lacks.
    struct Block: Equatable, Sendable { var index, nodes: UInt64 }
    /// `index` is a tree node; `nodes` as above.
    struct Hash: Equatable, Sendable { var index, nodes: UInt64 }
    /// `padding` is how many bytes of each block the asker does not count.
    struct Seek: Equatable, Sendable { var bytes, padding: UInt64 }
    /// `start` is the asker's length.
    struct Upgrade: Equatable, Sendable { var start, length: UInt64 }

    /// Chosen by the asker, from 1. 0 asks for a proof from zero, on suspicion of two histories.
    var id: UInt64
    var fork: UInt64
    var block: Block?
    var hash: Hash?
    var seek: Seek?
    var upgrade: Upgrade?
    var manifest = false
    var priority: UInt64 = 0

    init(
        id: UInt64, fork: UInt64, block: Block? = nil, hash: Hash? = nil, seek: Seek? = nil,
        upgrade: Upgrade? = nil, manifest: Bool = false, priority: UInt64 = 0
    ) {
        self.id = id
        self.fork = fork
        self.block = block
        self.hash = hash
        self.seek = seek
        self.upgrade = upgrade
        self.manifest = manifest
        self.priority = priority
    }
}

/// The answer to a request. Id 0: unasked.
struct DataMessage: Equatable, Sendable {
    var request: UInt64
    var proof: Proof
}

struct NoDataMessage: Equatable, Sendable {
    enum Reason: UInt64, Sendable { case unsaid, notAvailable, invalidRequest }

    var request: UInt64
    /// 0 when none is given; see `Reason`.
    var reason: UInt64 = 0
}

/// Want or Unwant.
struct WantMessage: Equatable, Sendable {
    var start: UInt64
    var length: UInt64
    /// One block of the range is enough of an answer.
    var any = false
}

struct BitfieldMessage: Equatable, Sendable {
    /// A multiple of 32.
    var start: UInt64
    /// Bit `i` of word `w` is block `start + 32 * w + i`.
    var words: [UInt32]
}

struct RangeMessage: Equatable, Sendable {
    /// The sender no longer has these blocks, instead of having them.
    var drop = false
    var start: UInt64
    var length: UInt64
}

struct ExtensionMessage: Equatable, Sendable {
    /// Empty for the name of the last such message in this direction.
    var name: String
    var payload: [UInt8]
}

/// What the channel's Open carries.
struct ChannelHandshake: Equatable, Sendable {
    var seeks: Bool
    /// Proves that the sender knows the log's key.
    var capability: Bytes32
}
