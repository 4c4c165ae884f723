package import Base
package import Wire

/// An internet in one value: hosts with UDP sockets, behind NATs or not, and a clock that jumps from
/// one event to the next. Everything that happens follows from the seed and the calls.
///
/// Its owner takes one event after the other with `next` and answers with `send` and `setTimer`:
///
///     while let event = network.next(until: end) {
///         switch event {
///         case .datagram(let delivery): // network.payload holds its bytes
///         case .timer(let host): …
///         case .alarm(let number): …
///         }
///     }
package struct VirtualNetwork: Sendable {
    package struct Configuration: Sendable {
        package var latency = LatencyModel()
        /// The share of datagrams lost on the public path.
        package var loss = 0.0
        /// Longer datagrams are dropped: 1,500 bytes on the link without IPv4's and UDP's headers.
        /// At most 2,048.
        package var payloadBytesMax = 1472

        package init() {}
    }

    /// A host, by its number.
    package struct HostID: Hashable, Sendable {
        package let index: Int
        package init(index: Int) { self.index = index }
    }

    /// Where addresses mean something: the internet, or the network behind one NAT.
    package struct RealmID: Hashable, Sendable {
        let index: Int32
        package static let internet = RealmID(index: 0)
    }

    package struct Delivery: Sendable {
        package let host: HostID
        package let socket: SocketID
        /// As the host sees it: after all translation.
        package let source: NetworkEndpoint
    }

    package enum Event: Sendable {
        /// A datagram reached a socket; `payload` holds its bytes until the next call.
        case datagram(Delivery)
        /// The time that `setTimer` asked for has come.
        case timer(HostID)
        /// The time that `setAlarm` asked for has come.
        case alarm(UInt64)
    }

    /// What became of all datagrams so far.
    package struct Statistics: Equatable, Sendable {
        package var sent = 0
        package var sentBytes = 0
        package var delivered = 0
        /// By the loss rate or a full queue.
        package var lost = 0
        /// By a NAT that knew no mapping, did not permit the sender or does not do hairpinning.
        package var filtered = 0
        /// No such address, no such socket or too long.
        package var unreachable = 0
        package var timeToLiveExceeded = 0
        package var partitioned = 0
    }

    struct Host: Sendable {
        var realm: Int32
        var address: UInt32
        var sockets: [Socket] = []
        /// Nothing is due: `.max`.
        var timer = UInt64.max
        /// The earliest entry of the queue for this timer.
        var queuedTimer = UInt64.max
        var uplink: Uplink?
        var traffic = HostTraffic()
    }

    struct Socket: Sendable {
        let id: SocketID
        let port: UInt16
    }

    package internal(set) var statistics = Statistics()

    var configuration: Configuration
    var latency: LatencyTable
    var random: SeededRandom
    /// The chance of loss as a share of 2^32.
    var lossThreshold: UInt64
    var hosts: [Host] = []
    var nats: [NATBox] = []
    /// How many addresses each realm has given; the NAT that leads out of realm n is number n - 1.
    var realmSizes: [UInt32] = [0]
    var owners = AddressTable()
    var pool = DatagramPool()
    var queue = EventQueue()
    /// Sites that are cut off from those with another number; absent is 0.
    var partitions: [Int32: Int] = [:]
    var clock: UInt64
    var delivered: [UInt8] = []

    /// - Parameter start: what the clock shows at first.
    package init(
        seed: UInt64, configuration: Configuration = Configuration(),
        start: Instant = Instant(nanoseconds: 1_000_000_000)
    ) {
        self.configuration = configuration
        self.configuration.payloadBytesMax = min(
            configuration.payloadBytesMax, DatagramPool.largeBytes)
        random = SeededRandom(seed: seed)
        latency = LatencyTable(configuration.latency, seed: seed)
        lossThreshold = Self.threshold(configuration.loss)
        clock = start.nanoseconds
    }

    package var now: Instant { Instant(nanoseconds: clock) }

    /// The bytes of the datagram that `next` returned last.
    package var payload: Span<UInt8> {
        @_lifetime(borrow self) borrowing get { delivered.span }
    }

    /// Events that wait, datagrams on their way among them.
    package var pendingCount: Int { queue.count }

    /// The share of datagrams lost on the public path, from now on.
    package mutating func setLoss(_ loss: Double) { lossThreshold = Self.threshold(loss) }

    static func threshold(_ share: Double) -> UInt64 {
        UInt64(max(0, min(share, 1)) * Double(1 << 32))
    }
}
