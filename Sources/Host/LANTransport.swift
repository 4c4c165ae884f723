package import Base
import CLinux
import Crypto
import Glibc
package import Swarm
package import Wire

/// Finds devices on the local network by multicast, without any other network: two machines on one
/// switch, or two processes on one machine.
///
/// It finds addresses, which the direct transport dials. What it says is for those who know the
/// topic (`LANMessage`). Confined to its loop's thread once `attach` is called, but for `close`.
package final class LANTransport: Transport, LoopMember, @unchecked Sendable {
    package struct Options: Sendable {
        /// Of the administratively scoped range (RFC 2365): never leaves the link.
        package var group = NetworkEndpoint(address: .v4(0xefff_4846), port: 49736)
        /// Talks to processes of this machine only.
        package var isLoopbackOnly = false

        package init() {}
    }

    private enum Limits {
        /// Questions are repeated after waits that double from the first to the longest.
        static let askFirst = Duration.milliseconds(500)
        static let askLongest = Duration.seconds(60)
        /// Datagrams looked at in a second; each costs a hash per topic.
        static let datagramsPerSecond = 200
        /// Answers given in a second.
        static let answersPerSecond = 20
        static let interfacesMax = 16
        static let ownNoncesKept = 64
        static let topicsMax = 16
    }

    private struct Topic {
        var announces = false
        var looksUp = false
        var asksAt = Instant.zero
        var wait = Limits.askFirst
    }

    package let name = "lan"
    private let loop: EventLoop
    private let options: Options
    private let port: () -> UInt16?
    private weak var observer: (any TransportObserver)?
    private var ears: LANSocket?
    private var mouth: LANSocket?
    private var watch: NetworkWatch?
    private var interfaces: [LANSocket.Interface] = []
    private var topics: [Bytes32: Topic] = [:]
    private var ownNonces: [[UInt8]] = []
    private var random = SecureRandom()
    private var failure: HostError?
    private var second = Instant.zero
    private var heardInSecond = 0
    private var answeredInSecond = 0

    /// - Parameter port: where the direct transport listens; nil if it does not.
    package init(
        loop: EventLoop, options: Options = Options(), port: @escaping () -> UInt16?
    ) {
        self.loop = loop
        self.options = options
        self.port = port
    }

    /// Begins to run on the loop, which must have been started. A machine without multicast is no
    /// error: nobody is found then.
    package func attach(_ observer: any TransportObserver) {
        _ = loop.perform { [self] in
            self.observer = observer
            loop.add(self)
            do throws(HostError) {
                let heard: (Span<UInt8>, NetworkEndpoint) -> Void = { [weak self] in
                    self?.heard($0, from: $1)
                }
                ears = try LANSocket(options.group, hears: true, loop: loop, heard: heard)
                mouth = try LANSocket(options.group, hears: false, loop: loop, heard: heard)
                watch = try? NetworkWatch(loop: loop) { [weak self] in self?.networkChanged() }
            } catch {
                failure = error
            }
            joinInterfaces()
        }
    }

    package func close() {
        _ = loop.perform { [self] in
            topics = [:]
            loop.remove(self)
            ears?.close()
            mouth?.close()
            watch?.close()
            (ears, mouth, watch) = (nil, nil, nil)
        }
    }

    package var addresses: [PeerAddress] { [] }
    package var problem: String? { failure.map { "no discovery on the local network: \($0)" } }

    package func connect(_ topic: Bytes32) { set(topic, announces: true, looksUp: true) }
    package func announce(_ topic: Bytes32) { set(topic, announces: true, looksUp: false) }
    package func lookup(_ topic: Bytes32) { set(topic, announces: false, looksUp: true) }
    package func leave(_ topic: Bytes32) { topics[topic] = nil }
    package func disconnect() { topics = [:] }
    package func dials(_ target: DialTarget) -> Bool { false }
    package func dial(_ target: DialTarget) {}

    package func searchAgain() {
        let now = monotonicNow()
        for (topic, var entry) in topics where entry.looksUp {
            // Not more often than a first search repeats itself.
            entry.asksAt = min(entry.asksAt, now + Limits.askFirst)
            entry.wait = Limits.askFirst
            topics[topic] = entry
        }
        loop.callAgain()
    }

    package func run(now: Instant) -> Instant {
        var due = Instant.distantFuture
        for topic in topics.keys.sorted() {
            guard var entry = topics[topic] else { continue }
            if now >= entry.asksAt {
                say(topic, wantsAnswer: entry.looksUp)
                entry.asksAt = now + entry.wait
                entry.wait = min(entry.wait * 2, Limits.askLongest)
                topics[topic] = entry
            }
            due = min(due, entry.asksAt)
        }
        return due
    }

    // MARK: Detail

    private func set(_ topic: Bytes32, announces: Bool, looksUp: Bool) {
        guard topics[topic] != nil || topics.count < Limits.topicsMax else { return }
        topics[topic] = Topic(announces: announces, looksUp: looksUp)
        loop.callAgain()
    }

    private func networkChanged() {
        joinInterfaces()
        searchAgain()
    }

    private func joinInterfaces() {
        interfaces = LANSocket.interfaces(loopbackOnly: options.isLoopbackOnly)
        interfaces = Array(interfaces.prefix(Limits.interfacesMax))
        for interface in interfaces { ears?.join(interface) }
    }

    private func message(_ topic: Bytes32, wantsAnswer: Bool) -> [UInt8] {
        let nonce = random.bytes(LANMessage.nonceSize)
        if ownNonces.count >= Limits.ownNoncesKept { ownNonces.removeFirst() }
        ownNonces.append(nonce)
        let port = topics[topic]?.announces == true ? port() ?? 0 : 0
        return LANMessage(topic: topic, port: port, wantsAnswer: wantsAnswer, nonce: nonce).bytes
    }

    private func say(_ topic: Bytes32, wantsAnswer: Bool) {
        guard let mouth else { return }
        let bytes = message(topic, wantsAnswer: wantsAnswer)
        for interface in interfaces { mouth.send(bytes, to: options.group, by: interface) }
    }

    private func heard(_ datagram: Span<UInt8>, from source: NetworkEndpoint) {
        let now = monotonicNow()
        if now >= second + .seconds(1) {
            (second, heardInSecond, answeredInSecond) = (now, 0, 0)
        }
        heardInSecond += 1
        guard heardInSecond <= Limits.datagramsPerSecond, let message = LANMessage(datagram),
            !ownNonces.contains(message.nonce),
            let topic = topics.keys.sorted().first(where: { message.isAbout($0) })
        else { return }
        if message.port != 0, topics[topic]?.looksUp == true {
            let address = PeerAddress(host: "\(source.address)", port: message.port)
            observer?.transport(self, found: .address(address))
        }
        if message.wantsAnswer, topics[topic]?.announces == true,
            answeredInSecond < Limits.answersPerSecond
        {
            answeredInSecond += 1
            mouth?.send(self.message(topic, wantsAnswer: false), to: source, by: .any)
        }
    }
}
