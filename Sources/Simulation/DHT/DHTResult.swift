internal import Base

/// What a run of `DHTScenario` came to. All but the memory follows from the options.
package struct DHTResult: Sendable {
    /// Of announcements and lookups that ended; a node that leaves takes its own along.
    package struct Walks: Sendable {
        package var count = 0
        /// Lookups that found the key; announcements that at least one node took.
        package var succeeded = 0
        /// Steps to the first reply with the key: each is one round trip at least.
        package var hops = Distribution<Int>([])
        /// Steps to the closest node of all.
        package var hopsToClosest = Distribution<Int>([])
        package var messages = Distribution<Int>([])
        package var timeToFind = Distribution<Duration>([])
        package var time = Distribution<Duration>([])
        /// Of the twenty nodes really closest, how many were found.
        package var closestFound = Distribution<Int>([])
        package var committed = Distribution<Int>([])

        package var successShare: Double { count == 0 ? 0 : Double(succeeded) / Double(count) }
    }

    package var nodes = 0
    package var persistent = 0
    package var lookups = Walks()
    package var announcements = Walks()
    /// Datagrams that a node sends in a minute while it has nothing to do.
    package var idleDatagramsPerMinute = 0.0
    /// Nodes in the table of a node.
    package var tableCount = Distribution<Int>([])
    package var left = 0
    /// Resident bytes that each node added; 0 where it is not known.
    package var bytesPerNode = 0
    package var virtualTime = Duration.zero
    package var datagrams = 0
}

extension DHTResult.Walks {
    init(_ walks: [Walk]) {
        let ended = walks.filter { $0.endedAt != nil }
        count = ended.count
        succeeded = ended.count { $0.purpose == .lookup ? $0.foundAt != nil : $0.committed > 0 }
        hops = Distribution(ended.compactMap(\.foundDepth))
        hopsToClosest = Distribution(ended.compactMap(\.closestDepth))
        messages = Distribution(ended.map(\.requests))
        timeToFind = Distribution(
            ended.compactMap { walk in walk.foundAt.map { $0 - walk.startedAt } })
        time = Distribution(ended.compactMap { walk in walk.endedAt.map { $0 - walk.startedAt } })
        closestFound = Distribution(ended.map(\.closestFound))
        committed = Distribution(ended.map(\.committed))
    }
}
