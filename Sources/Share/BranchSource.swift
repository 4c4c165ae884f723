import Base
import Hypercore

/// The peer that the own log's other history is fetched from: one at a time, since others may have the
/// history that is here, and two could not be told apart in one copy.
struct BranchSource {
    enum Limits {
        /// Without a new block in this time another peer is asked.
        static let patience = Duration.seconds(10)
    }

    let connection: ConnectionID
    /// When it was chosen, or last sent a block.
    var since: Instant
    /// How much has come.
    var length: UInt64 = 0
    /// Whether what came turned out to be what is here.
    var isOwnHistory = false
}

extension Engine {
    /// Looks whether the other history is still on its way, and else for another peer to ask.
    ///
    /// - Parameter sessions: the connections to choose from, in a stable order.
    mutating func chooseBranchSource(among sessions: [PeerSession], now: Instant)
        throws(StorageError)
    {
        guard let fork = pendingFork, forkHindrance == nil else { return branchSource = nil }
        if let next = nextToLook(among: sessions) { return try fetchBranch(fork, from: next, now) }
        let members = sessions.map(\.id)
        if let source = branchSource, members.contains(source.connection) {
            let length = logs[fork.branch]?.contiguousLength ?? 0
            if length != source.length {
                branchSource?.length = length
                branchSource?.since = now
            }
            let isLate =
                length == source.length && now >= source.since + BranchSource.Limits.patience
            // A device that resumes needs no more of it than this peer has.
            guard source.isOwnHistory || isLate && resumption == nil else { return }
            giveUpBranchSource()
        }
        branchSource = nil
        if members.allSatisfy(triedBranchSources.contains) { triedBranchSources = [] }
        guard let next = members.first(where: { !triedBranchSources.contains($0) }) else { return }
        try fetchBranch(fork, from: next, now)
    }

    private mutating func fetchBranch(_ fork: LogFork, from source: ConnectionID, _ now: Instant)
        throws(StorageError)
    {
        try logs[fork.branch]?.erase()
        try openBranch(fork)
        branchSource = BranchSource(connection: source, since: now)
        logsToReopen.append(fork.branch)
        guard resumption?.common == nil else { return }
        resumption?.isSourceAtEnd = false
        resumption?.mustLook = true
    }

    /// This peer has not got it.
    mutating func giveUpBranchSource() {
        guard let source = branchSource else { return }
        triedBranchSources.insert(source.connection)
        branchSource = nil
    }
}
