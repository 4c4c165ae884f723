import Base
import Chunks
import FileTree
import Hypercore

/// A member's way to a checkpoint, because blocks that it needs to go on were given back by everybody: its state was
/// restored from a backup older than what the others begin from. See <doc:Backups>.
///
/// The view stays as it was until all is here, and then changes in one transaction (`Engine.resume`).
struct Resumption {
    enum Phase {
        /// The blocks that prove the checkpoint are on their way.
        case proving(StartingPoint)
        /// So are its pieces.
        case fetching(PublishedCheckpoint)
        /// What it holds besides the view is being looked up.
        case reading(PublishedCheckpoint, CheckpointReader, offset: UInt64)
        /// The blocks after it are on their way.
        case following(PublishedCheckpoint, CheckpointContents)
    }

    enum Limits {
        /// How long nobody may have the blocks before a checkpoint is asked for: another member may come.
        static let hope = Duration.seconds(10)
        /// How long nothing may come while somebody is connected.
        static let patience = Duration.seconds(60)
        /// How long a peer may take to prove what the other history was.
        static let answerPatience = Duration.seconds(10)
        /// From one look to the next while blocks are lacked, and while none are.
        static let interval = Duration.seconds(1)
        static let longInterval = Duration.seconds(5)
        static let looksToIntroduction = 60
        /// Starting points remembered, and those that came to nothing.
        static let offers = 8
    }

    let point: StartingPoint
    var phase: Phase
    var deadline: Instant
    /// Blocks that the own log's two histories have in common, once that is known; and where to look next.
    var common: UInt64?
    var nextLook: UInt64?
    var agreement: LogAgreement?
    /// Whether the source has just said that it cannot tell any closer; how many they share at least by all that
    /// the last one knew; and who cannot tell.
    var isSourceAtEnd = false
    var least: UInt64?
    var ignorant: Set<ConnectionID> = []
    /// A source has been chosen, and nothing was asked of it yet.
    var mustLook = false
    /// What was asked last, of whom, and until when its answer is waited for.
    var askedLook: (id: ReplicationID, length: UInt64, until: Instant)?

    /// Where the own log goes on behind the checkpoint, once that is known.
    func start(of slot: WriterSlot) -> UInt64? {
        guard case .following(_, let contents) = phase else { return nil }
        return contents.states.first { $0.writer == slot }?.number
    }

    /// What has been waited for in vain, for people.
    func lateness(isForked: Bool) -> String {
        switch phase {
        case .proving: "the blocks that prove it did not come"
        case .fetching, .reading: "its bytes did not come"
        case .following where isForked && common == nil:
            "nobody said where the two histories of this device's log part"
        case .following: "what comes after it did not come"
        }
    }

    /// The checkpoint, once it is proved.
    var checkpoint: PublishedCheckpoint? {
        switch phase {
        case .proving: nil
        case .fetching(let checkpoint), .reading(let checkpoint, _, _),
            .following(let checkpoint, _):
            checkpoint
        }
    }
}

/// What a device that may have to resume knows of its chances.
struct ResumptionChances {
    /// Since when all members that are connected have given back what is lacked here.
    var hopelessSince: Instant?
    /// Where members say that one can start, the last one last.
    var offers: [StartingPoint] = []
    var refused: [StartingPoint] = []
    /// Why the last one was refused, for people.
    var refusal: String?
    /// Members that have been asked for the own log's other history, and have given some of it back.
    var emptyBranchSources: Set<ConnectionID> = []
    /// When to look next.
    var deadline: Instant?
    /// How often it is looked for what is lacked, while somebody is connected, before members are shown a log that
    /// was begun while the one before was not applied to its end.
    var looksToIntroduction = Resumption.Limits.looksToIntroduction
    var isIntroduced = false

    /// A log was begun that members are not to be shown yet.
    mutating func holdBack() {
        looksToIntroduction = Resumption.Limits.looksToIntroduction
        isIntroduced = false
        deadline = nil
    }

    mutating func note(_ offer: StartingPoint) {
        guard !refused.contains(offer) else { return }
        offers.removeAll { $0 == offer }
        offers.append(offer)
        if offers.count > Resumption.Limits.offers { offers.removeFirst() }
    }

    /// To be tried after all others.
    mutating func noteAgain(_ offer: StartingPoint) {
        guard !offers.contains(offer), offers.count < Resumption.Limits.offers else { return }
        offers.insert(offer, at: 0)
    }
}
