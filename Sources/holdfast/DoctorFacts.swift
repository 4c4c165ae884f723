import Base
import DHT
import Host
import Swarm
import Wire

/// What was learned of the network; nothing is judged here.
struct NetworkFacts: Equatable, Sendable {
    /// One node that was named, and whether it answered.
    struct Bootstrap: Equatable, Sendable {
        let address: String
        var roundTrip: Duration?
        /// Why it could not even be asked.
        var problem: String?
    }

    /// One node's word on where our datagram came from.
    struct Sample: Equatable, Sendable {
        let observer: NetworkEndpoint
        let mapped: NetworkEndpoint
    }

    var bootstrap: [Bootstrap] = []
    /// Why no socket could be had, or why nothing can be sent.
    var problem: String?
    /// All from one socket, on `clientPort`.
    var samples: [Sample] = []
    var clientPort: UInt16 = 0
    var localAddresses: [NetworkAddress] = []
    /// A node's datagram came in on a port that had sent none: strangers can reach this machine.
    var isReachable = false
    var roundTrips: [Duration] = []
}

/// What was learned of this machine.
struct MachineFacts: Equatable, Sendable {
    var isRoot = false
    /// The errno of opening `/dev/fuse`; nil if that works.
    var fuseProblem: Int32?
    /// Where `fusermount3` is.
    var helper: String?
    var helperRunsAsRoot = false
    var libraryVersion = ""
    var userAllowOther = false
    var kernelRelease = ""
    var joinsDatagrams = false
    var isClockSynchronized: Bool?
    /// Seconds since 1970.
    var wallSeconds: Int64 = 0
}
