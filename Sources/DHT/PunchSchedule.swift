package import Base
package import Wire

/// When to send which probes from which socket, until the hole is there or the tries are used up
/// (`connect.md` 4.7).
package struct PunchSchedule: Equatable, Sendable {
    /// What the two kinds of NAT allow.
    package enum Strategy: Equatable, Sendable {
        /// Both sides know where to send: a probe a second.
        case consistent
        /// The other side's ports are random: many ports of that host are tried.
        case guessPorts(of: NetworkAddress)
        /// Our own ports are random: many sockets send to that address.
        case manySockets(to: NetworkEndpoint)

        /// - Parameters:
        ///   - remotes: at least one.
        /// - Returns: nil if the two can never meet, or the other side is not proven to be reachable
        ///   where it says, which only the first strategy does without.
        package static func choose(
            local: NATKind, remote: NATKind, remotes: [PunchTarget]
        ) -> Strategy? {
            guard !remotes.isEmpty else { return nil }
            if local.isConsistent, remote.isConsistent { return .consistent }
            guard let verified = remotes.first(where: \.isVerified)?.endpoint else { return nil }
            switch (local, remote) {
            case (.consistent, .random), (.open, .random):
                return .guessPorts(of: verified.address)
            case (.random, .consistent), (.random, .open):
                return verified.port == 0 ? nil : .manySockets(to: verified)
            default: return nil
            }
        }
    }

    package struct Probe: Equatable, Sendable {
        /// Into the list of sockets that the caller has.
        package var socketIndex: Int
        package var destination: NetworkEndpoint
        /// Dies on the way: it only opens our own NAT.
        package var isLowTTL: Bool
    }

    package static let consistentTries = 10
    package static let randomTries = 1750
    private static let consistentPause = Duration.seconds(1)
    private static let randomPause = Duration.milliseconds(20)
    private static let birthdayPause = Duration.milliseconds(100)
    /// Guessed ports are from here up.
    private static let portMin: UInt16 = 1000

    private let strategy: Strategy
    private var tries = 0
    private var socketIndex = 0
    private var isFirstLap = true
    /// When to call `fire`.
    package private(set) var deadline: Instant
    package private(set) var isExhausted = false

    /// - Parameter isInitiator: the server's fast-open probe has just left; it waits for the first
    ///   regular one.
    package init(_ strategy: Strategy, isInitiator: Bool, now: Instant) {
        self.strategy = strategy
        switch strategy {
        case .consistent: deadline = isInitiator ? now : now + Self.consistentPause
        case .guessPorts: deadline = now
        case .manySockets: deadline = now + Self.birthdayPause
        }
    }

    /// Appends the probes that are due.
    package mutating func fire(
        now: Instant, targets: [PunchTarget], socketCount: Int,
        random: inout some RandomNumberGenerator, into probes: inout [Probe]
    ) {
        guard !isExhausted, now >= deadline else { return }
        let triesMax = strategy == .consistent ? Self.consistentTries : Self.randomTries
        guard tries < triesMax, socketCount > 0 else {
            isExhausted = true
            return
        }
        tries += 1
        switch strategy {
        case .consistent:
            for target in targets where target.isVerified || tries % 4 == 0 {
                append(target.endpoint, to: &probes)
            }
            deadline = now + Self.consistentPause
        case .guessPorts(let host):
            let port = UInt16.random(in: Self.portMin...UInt16.max, using: &random)
            append(NetworkEndpoint(address: host, port: port), to: &probes)
            deadline = now + Self.randomPause
        case .manySockets(let destination):
            if socketIndex >= socketCount {
                socketIndex = 0
                isFirstLap = false
            }
            append(destination, to: &probes)
            socketIndex += 1
            deadline = now + Self.randomPause
        }
    }

    private func append(_ destination: NetworkEndpoint, to probes: inout [Probe]) {
        guard destination.port != 0 else { return }
        var isLowTTL = false
        if case .manySockets = strategy { isLowTTL = isFirstLap }
        probes.append(
            Probe(socketIndex: socketIndex, destination: destination, isLowTTL: isLowTTL))
    }
}

/// One of the other side's addresses.
package struct PunchTarget: Equatable, Sendable {
    package var endpoint: NetworkEndpoint
    /// The other side has shown that it receives at this host.
    package var isVerified: Bool

    package init(endpoint: NetworkEndpoint, isVerified: Bool) {
        self.endpoint = endpoint
        self.isVerified = isVerified
    }
}

/// How many punches with a random NAT in them may run: they are loud, so one at a time, and a while
/// between them.
package struct PunchSlots: Equatable, Sendable {
    private let slotsMax: Int
    private let interval: Duration
    private var taken = 0
    private var lastEnd: Instant?

    package init(slotsMax: Int, interval: Duration) {
        self.slotsMax = slotsMax
        self.interval = interval
    }

    package func isFree(now: Instant) -> Bool {
        guard taken < slotsMax else { return false }
        return lastEnd.map { now - $0 >= interval } ?? true
    }

    package mutating func take() { taken += 1 }

    /// - Parameter hasPunched: false for a slot that was only reserved.
    package mutating func free(now: Instant, hasPunched: Bool) {
        taken = max(0, taken - 1)
        if hasPunched { lastEnd = now }
    }
}
