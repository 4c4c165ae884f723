/// What `holdfast status` tells of one share; the keys of its JSON are the property names.
package struct ShareStatus: Codable, Equatable, Sendable {
    package struct Pending: Codable, Equatable, Sendable {
        /// Blocks that this device knows of and lacks, or has and no peer has acknowledged.
        package var blocks: UInt64 = 0
        /// Chunks that the view needs and this device lacks.
        package var chunks: UInt64 = 0
        /// Of those chunks, and of what programs wrote here and no version holds yet.
        package var bytes: UInt64 = 0
        package init() {}
    }

    package struct Peer: Codable, Equatable, Sendable {
        package var device: String
        package var key: String
        package var address: String
        /// `connecting`, `connected` or `paused`.
        package var state: String
        /// A `PeerPath`.
        package var path: String
        package var roundTripMilliseconds: Double?
        package var bytesSent: UInt64
        package var bytesReceived: UInt64
        /// For the host alone, which knows the connection's path: not part of the JSON.
        package var connection: UInt64 = 0

        private enum CodingKeys: String, CodingKey {
            case device, key, address, state, path, roundTripMilliseconds, bytesSent
            case bytesReceived
        }

        package init(
            device: String, key: String, address: String, state: String, path: String = "",
            bytesSent: UInt64, bytesReceived: UInt64
        ) {
            self.path = path
            self.device = device
            self.key = key
            self.address = address
            self.state = state
            self.bytesSent = bytesSent
            self.bytesReceived = bytesReceived
        }
    }

    /// A log with two histories: a state that was restored or cloned.
    package struct Fork: Codable, Equatable, Sendable {
        package var device: String
        /// The log's key, hexadecimal.
        package var log: String
        /// Blocks that both histories have, at least.
        package var common: UInt64
        /// Milliseconds since 1970.
        package var found: UInt64
        /// Whether it is this device's own log.
        package var isOwn: Bool
        /// Whether a new log stands for the other history, so that nothing is missing.
        package var isSettled: Bool
        /// Whether its device is no member any more, so that no new log will.
        package var isEnded: Bool
        /// Why this device cannot bring the two together, and what to do about it.
        package var hindrance: String?
    }

    /// One log of a device that is, or was, a member.
    package struct Member: Codable, Equatable, Sendable {
        package var device: String
        /// The device's, hexadecimal.
        package var key: String
        /// The log's key, hexadecimal.
        package var log: String
        /// `owner`, `writer`, `reader` or `keeper`.
        package var role: String
        /// `member`, `revoked`, `left` or `retired`.
        package var state: String
        package var isOwn: Bool
        /// When the last block of its log that is here was written, milliseconds since 1970; 0 if there is none.
        package var lastBlock: UInt64 = 0
        /// Blocks that are here and do not count.
        package var uncounted: UInt64 = 0
    }

    /// The view at some moment, as a new device starts from it.
    package struct Checkpoint: Codable, Equatable, Sendable {
        /// Who published it.
        package var device: String
        /// Milliseconds since 1970.
        package var time: UInt64
        package var bytes: UInt64
    }

    /// The share's public id, hexadecimal.
    package var share = ""
    package var name = ""
    package var device = ""
    package var mountpoint = ""
    package var transport = ""
    package var paused = false
    package var peers: [Peer] = []
    /// What keeps transports from their work, in words.
    package var problems: [String] = []
    /// Log key (hexadecimal) to the count of blocks applied.
    package var clock: [String: UInt64] = [:]
    /// Of the view, hexadecimal: equal exactly on converged devices.
    package var digest = ""
    package var pending = Pending()
    package var files: UInt64 = 0
    package var bytes: UInt64 = 0
    /// Operations refused because they break a rule.
    package var refused: UInt64 = 0
    package var conflicts: UInt64 = 0
    package var forks: [Fork] = []
    package var members: [Member] = []
    /// Members for which history is kept though they have been silent for long.
    package var silent: [String] = []
    /// The newest checkpoint.
    package var checkpoint: Checkpoint?
    /// The one that this device started from, or went over to later: there is no earlier history here.
    package var start: Checkpoint?
    /// Whether this device is on its way to one.
    package var isStarting = false
    /// Devices that have, or had, the same blocks and see other things.
    package var disagreeing: [String] = []

    package init() {}
}
