import Base
import Swarm
import Testing

/// Two devices that dial each other over a network with latency, driven from a seed: after every
/// disturbance they end with exactly one connection, the same on both sides.
@Suite struct PeerBookPairTests {
    private struct Side {
        var book: PeerBook
        var effects: [PeerBook.Effect] = []
        let key: Bytes32
        let port: UInt16

        mutating func advance(_ now: Instant) -> Instant {
            book.advance(now: now, into: &effects)
        }

        mutating func opened(_ connection: UInt64, _ dialed: DialTarget?, _ now: Instant) -> Bool {
            book.opened(connection, dialed: dialed, origin: "x", now: now, into: &effects)
        }

        mutating func identified(_ connection: UInt64, _ key: Bytes32, _ now: Instant) {
            var session = SeededRandom(seed: connection)
            book.identified(
                connection, key: key, session: Bytes32(session.bytes(32)) ?? .zero, now: now,
                into: &effects)
        }

        mutating func pause() { book.pause(into: &effects) }
    }

    private enum Happening {
        case arrives(at: Int, connection: UInt64, dialed: DialTarget?)
        case identified(at: Int, connection: UInt64)
        case ended(at: Int, connection: UInt64)
        case failed(at: Int, DialTarget)
    }

    private struct World {
        var sides: [Side]
        var now = Instant(nanoseconds: 1)
        var random: SeededRandom
        var queue: [(at: Instant, order: Int, happening: Happening)] = []
        var order = 0
        var lastConnection: UInt64 = 0
        /// Which sides have each connection open.
        var open: [UInt64: Set<Int>] = [:]
        var isCut = false

        init(seed: UInt64) {
            random = SeededRandom(seed: seed)
            sides = [(UInt8(3), UInt16(1)), (9, 2)].map { key, port in
                let key = Bytes32(repeating: key)
                return Side(book: PeerBook(ownKey: key), key: key, port: port)
            }
            for side in 0..<2 {
                let other = PeerAddress(host: "10.0.0.\(2 - side)", port: sides[1 - side].port)
                sides[side].book.add(.address(other), source: .option, now: now)
                // The same device under a second address.
                let second = PeerAddress(host: "192.168.0.\(2 - side)", port: other.port)
                sides[side].book.add(.address(second), source: .learnt, now: now)
            }
        }

        mutating func plan(_ happening: Happening, _ leastMilliseconds: Int64 = 1) {
            let wait = Int64.random(in: leastMilliseconds...40, using: &random)
            order += 1
            queue.append((now + .milliseconds(wait), order, happening))
        }

        mutating func run(for duration: Duration) {
            let end = now + duration
            while now < end {
                var next = end
                for side in 0..<2 { next = min(next, step(side)) }
                if let first = queue.map(\.at).min() { next = min(next, first) }
                now = max(now, next)
                let due = queue.filter { $0.at <= now }.sorted {
                    ($0.at, $0.order) < ($1.at, $1.order)
                }
                queue.removeAll { $0.at <= now }
                for item in due { perform(item.happening) }
            }
        }

        mutating func step(_ side: Int) -> Instant {
            let due = sides[side].advance(now)
            let effects = sides[side].effects
            sides[side].effects = []
            for effect in effects {
                switch effect {
                case .dial(let address) where isCut: plan(.failed(at: side, address))
                case .dial(let address):
                    lastConnection += 1
                    open[lastConnection] = [0, 1]
                    plan(.arrives(at: side, connection: lastConnection, dialed: address))
                    plan(.arrives(at: 1 - side, connection: lastConnection, dialed: nil))
                case .close(let connection, _):
                    open[connection]?.remove(side)
                    plan(.ended(at: 1 - side, connection: connection), 40)
                }
            }
            return effects.isEmpty ? due : now
        }

        mutating func perform(_ happening: Happening) {
            switch happening {
            case .arrives(let side, let connection, let dialed):
                let isWelcome = sides[side].opened(connection, dialed, now)
                if isWelcome {
                    plan(.identified(at: side, connection: connection), 40)
                } else {
                    open[connection]?.remove(side)
                    plan(.ended(at: 1 - side, connection: connection), 40)
                }
            case .identified(let side, let connection):
                sides[side].identified(connection, sides[1 - side].key, now)
            case .ended(let side, let connection):
                guard open[connection]?.remove(side) != nil else { return }
                sides[side].book.closed(connection, now: now, using: &random)
            case .failed(let side, let address):
                sides[side].book.dialFailed(address, now: now, using: &random)
            }
        }

        mutating func cut() {
            isCut = true
            for connection in open.keys.sorted() {
                for side in open[connection, default: []].sorted() {
                    plan(.ended(at: side, connection: connection))
                }
            }
        }

        var shared: [UInt64] { open.filter { $0.value == [0, 1] }.keys.sorted() }
        var halves: [UInt64] { open.filter { $0.value.count == 1 }.keys.sorted() }
    }

    @Test func `two devices that dial each other keep the same one connection`() {
        for seed in UInt64(1)...200 {
            var world = World(seed: seed)
            world.run(for: .seconds(4))
            #expect(world.shared.count == 1, "seed \(seed)")
            #expect(world.halves == [], "seed \(seed)")
            let kept = world.shared
            world.run(for: .seconds(600))
            #expect(world.shared == kept, "not left in peace, seed \(seed)")
        }
    }

    @Test func `after a cut they find each other again soon, with one connection`() {
        for seed in UInt64(1)...100 {
            var world = World(seed: seed)
            world.run(for: .seconds(10))
            world.cut()
            world.run(for: .milliseconds(800))
            world.isCut = false
            world.run(for: .seconds(1))
            #expect(!world.shared.isEmpty, "seed \(seed)")
            world.run(for: .seconds(30))
            #expect(world.shared.count == 1, "seed \(seed)")
            #expect(world.halves == [], "seed \(seed)")
        }
    }

    @Test func `a pause on one side ends everything and its end brings it back at once`() {
        for seed in UInt64(1)...50 {
            var world = World(seed: seed)
            world.run(for: .seconds(10))
            let before = world.shared
            world.sides[0].pause()
            world.run(for: .seconds(120))
            for connection in before { #expect(world.open[connection] == [], "seed \(seed)") }
            world.sides[0].book.resume(now: world.now)
            world.run(for: .milliseconds(500))
            #expect(!world.shared.isEmpty, "seed \(seed)")
        }
    }
}
