import Base
import Testing
import Wire

@testable import Protomux

/// Two sides that open, close, reject, cork and send at random over a connection that delivers late.
struct SimulationTests {
    /// One of a side's channels, as its user knows it.
    struct Channel {
        let id: Protomux.ChannelID
        /// The partner's token, once open.
        var partner: UInt32?
        var sent: UInt32 = 0
        var received: UInt32 = 0
        var isClosed = false
    }

    struct Side {
        var mux = Protomux()
        /// By token: what the handshake of the channel's Open carried.
        var channels: [UInt32: Channel] = [:]
        var tokens: [Protomux.ChannelID: UInt32] = [:]
        var requests: [(name: String, id: [UInt8])] = []
        var inbox: [[UInt8]] = []
        var corks = 0

        var liveTokens: [UInt32] {
            channels.keys.sorted().filter { channels[$0]?.isClosed == false }
        }
    }

    struct World {
        var sides = [Side(), Side()]
        var nextToken: UInt32 = 1
        var random: SeededRandom
        var faults: [String] = []

        init(seed: UInt64) { random = SeededRandom(seed: seed) }

        static func bytes(_ value: UInt32) -> [UInt8] {
            var writer = WireWriter()
            writer.writeUInt32(value)
            return writer.bytes
        }

        static func value(_ bytes: [UInt8]) -> UInt32? {
            var reader = WireReader(bytes.span)
            return try? reader.readUInt32()
        }

        mutating func open(_ side: Int, _ name: String, _ id: [UInt8]) {
            let token = nextToken
            nextToken += 1
            let channel = sides[side].mux.open(name, id: id, handshake: Self.bytes(token))
            sides[side].channels[token] = Channel(id: channel)
            sides[side].tokens[channel] = token
            var events: [Protomux.Event] = []
            sides[side].mux.takeEvents(into: &events)
            take(events, side)
        }

        mutating func close(_ side: Int, _ token: UInt32) {
            guard let channel = sides[side].channels[token] else { return }
            sides[side].mux.close(channel.id)
            sides[side].channels[token]?.isClosed = true
        }

        mutating func send(_ side: Int, _ token: UInt32) {
            guard let channel = sides[side].channels[token] else { return }
            let payload = Self.bytes(token) + Self.bytes(channel.sent)
            sides[side].mux.send(channel.id, type: Int(channel.sent % 300), payload: payload)
            sides[side].channels[token]?.sent += 1
        }

        mutating func answer(_ side: Int) {
            guard !sides[side].requests.isEmpty else { return }
            let request = sides[side].requests.removeFirst()
            if Int.random(in: 0..<3, using: &random) > 0 {
                open(side, request.name, request.id)
            } else {
                sides[side].mux.reject(protocolName: request.name, id: request.id)
            }
        }

        mutating func flush(_ side: Int) {
            sides[1 - side].inbox += sides[side].mux.takeMessages()
        }

        mutating func deliver(_ side: Int) {
            guard !sides[side].inbox.isEmpty else { return }
            let message = sides[side].inbox.removeFirst()
            var events: [Protomux.Event] = []
            do {
                try sides[side].mux.receive(message.span, events: &events)
            } catch {
                faults.append("side \(side) dropped the connection: \(error)")
            }
            take(events, side)
        }

        mutating func take(_ events: [Protomux.Event], _ side: Int) {
            for event in events {
                switch event {
                case .openRequested(let name, let id):
                    sides[side].requests.append((name, id))
                case .opened(let id, let handshake):
                    guard let token = sides[side].tokens[id], let partner = Self.value(handshake)
                    else { return faults.append("opened what is not ours: \(id)") }
                    if sides[side].channels[token]?.partner != nil { faults.append("opened twice") }
                    sides[side].channels[token]?.partner = partner
                    if let seen = sides[1 - side].channels[partner]?.partner, seen != token {
                        faults.append("\(token) with \(partner), which is with \(seen)")
                    }
                case .message(let id, let type, let payload):
                    guard let token = sides[side].tokens[id],
                        let channel = sides[side].channels[token]
                    else { return faults.append("a message for what is not ours: \(id)") }
                    let expected = Self.bytes(channel.partner ?? 0) + Self.bytes(channel.received)
                    if payload != expected || type != Int(channel.received % 300) {
                        faults.append("\(token) got \(payload), expected \(expected)")
                    }
                    if channel.isClosed { faults.append("a message for a closed channel") }
                    sides[side].channels[token]?.received += 1
                case .closed(let id):
                    guard let token = sides[side].tokens[id] else {
                        return faults.append("closed what is not ours: \(id)")
                    }
                    if sides[side].channels[token]?.isClosed == true {
                        faults.append("closed twice")
                    }
                    sides[side].channels[token]?.isClosed = true
                }
            }
        }

        mutating func step() {
            let side = Int.random(in: 0...1, using: &random)
            switch Int.random(in: 0..<20, using: &random) {
            case 0, 1:
                let names = ["one", "two", "three"]
                let name = names[Int.random(in: 0..<3, using: &random)]
                open(side, name, Bool.random(using: &random) ? [] : [1])
            case 2:
                if let token = sides[side].liveTokens.randomElement(using: &random) {
                    close(side, token)
                }
            case 3..<8:
                if let token = sides[side].liveTokens.randomElement(using: &random) {
                    send(side, token)
                }
            case 8:
                sides[side].mux.cork()
                sides[side].corks += 1
            case 9, 10:
                if sides[side].corks > 0 {
                    sides[side].mux.uncork()
                    sides[side].corks -= 1
                }
            case 11: answer(side)
            case 12, 13: flush(side)
            default: deliver(side)
            }
        }

        /// Everything answered and delivered.
        mutating func settle() {
            for side in 0...1 {
                while sides[side].corks > 0 {
                    sides[side].mux.uncork()
                    sides[side].corks -= 1
                }
            }
            var rounds = 0
            repeat {
                for side in 0...1 {
                    flush(side)
                    while !sides[1 - side].inbox.isEmpty { deliver(1 - side) }
                    for request in sides[side].requests {
                        sides[side].mux.reject(protocolName: request.name, id: request.id)
                    }
                    sides[side].requests = []
                    flush(side)
                }
                rounds += 1
            } while rounds < 10
                && (!sides[0].inbox.isEmpty || !sides[1].inbox.isEmpty || rounds < 3)
        }

        /// What must hold when nothing is under way.
        mutating func checkSettled() {
            for side in 0...1 {
                let other = sides[1 - side]
                for token in sides[side].liveTokens {
                    guard let channel = sides[side].channels[token], let partner = channel.partner,
                        let match = other.channels[partner]
                    else {
                        faults.append("\(token) waits for ever")
                        continue
                    }
                    if match.isClosed { faults.append("\(token) is open, \(partner) is not") }
                    if match.partner != token { faults.append("\(partner) is not with \(token)") }
                    if match.sent != channel.received {
                        faults.append("\(token) got \(channel.received) of \(match.sent)")
                    }
                }
                if sides[side].mux.keptBytes != 0 { faults.append("bytes kept for nobody") }
            }
        }
    }

    @Test(arguments: 1...150 as ClosedRange<UInt64>)
    func `both sides agree on what is open and lose nothing`(seed: UInt64) {
        var world = World(seed: seed)
        for _ in 0..<3 {
            for _ in 0..<250 { world.step() }
            world.settle()
            world.checkSettled()
        }
        for side in 0...1 { for token in world.sides[side].liveTokens { world.close(side, token) } }
        world.settle()
        for side in 0...1 {
            let mux = world.sides[side].mux
            #expect(mux.localHalves.allSatisfy { $0 == nil }, "seed \(seed)")
            #expect(mux.remoteHalves.allSatisfy { $0 == .free }, "seed \(seed)")
            #expect(mux.waitingOpens.isEmpty && mux.keptBytes == 0, "seed \(seed)")
            #expect(mux.localHalves.count < 120, "ids are reused, seed \(seed)")
        }
        #expect(world.faults == [], "seed \(seed)")
    }

    @Test func `random bytes never trap`() {
        let seed: UInt64 = 0x5eed_0005
        var random = SeededRandom(seed: seed)
        for _ in 0..<3000 {
            var mux = Protomux()
            mux.open("p")
            mux.open("q", id: [1])
            for _ in 0..<20 {
                var bytes = random.bytes(Int.random(in: 0...30, using: &random))
                for index in bytes.indices where Int.random(in: 0..<4, using: &random) > 0 {
                    bytes[index] &= 3
                }
                if bytes.count > 6, Bool.random(using: &random) {
                    bytes.replaceSubrange(0..<6, with: [0, 1, 1, 1, UInt8(ascii: "p"), 0])
                }
                var events: [Protomux.Event] = []
                guard (try? mux.receive(bytes.span, events: &events)) != nil else { break }
            }
        }
    }
}
