/// What kind of network is simulated.
package struct DHTOptions: Sendable {
    /// A share of the nodes that are not public and the NATs that they sit behind.
    package struct Situation: Sendable {
        package let kind: NATKind
        package let weight: Double

        package init(_ kind: NATKind, weight: Double) {
            self.kind = kind
            self.weight = weight
        }
    }

    package var seed: UInt64 = 1
    package var nodes = 1000
    /// The share of nodes on public addresses that serve the network; the rest is ephemeral, behind
    /// the NATs of `situations`.
    package var persistentShare = 0.5
    package var situations: [Situation] = [
        Situation(.fullCone, weight: 15), Situation(.addressRestricted, weight: 10),
        Situation(.portRestricted, weight: 55), Situation(.symmetric, weight: 12),
        Situation(.double, weight: 8),
    ]
    package var loss = 0.01
    package var latency = LatencyModel()
    /// The mean of exponential session lengths once the network stands; a node that goes, without
    /// a word, is replaced by a new one elsewhere. nil is no churn.
    package var sessionMean: Duration?
    /// Topics announced, each by a node of its own that stays.
    package var topics = 100
    package var lookups = 500
    /// Over which the lookups are spread, after the announcements.
    package var duration: Duration = .seconds(300)
    /// Nodes that all others are told of.
    package var bootstrapNodes = 3

    package init() {}
}
