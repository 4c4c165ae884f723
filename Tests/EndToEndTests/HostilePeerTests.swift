import Base
import Foundation
import Share
import Testing
import Wire

extension EndToEndTests {
    /// Strangers and worse at a running daemon's port: they are dropped with a line in the log, and
    /// the mount and the real peer notice nothing.
    struct HostilePeerTests {
        private struct Attack {
            var name: String
            /// Leaves the connection as it is; nil if it was refused already.
            var run: (_ port: UInt16, _ keys: ShareKeys) throws -> LoopbackSocket

            init(
                _ name: String,
                _ run: @escaping (_ port: UInt16, _ keys: ShareKeys) throws -> LoopbackSocket
            ) {
                self.name = name
                self.run = run
            }
        }

        /// Bytes sent as they are.
        private func raw(_ name: String, _ bytes: [UInt8], endsSending: Bool = false) -> Attack {
            Attack(name) { port, _ in
                let socket = try LoopbackSocket(port: port)
                socket.send(bytes)
                if endsSending { socket.endSending() }
                return socket
            }
        }

        /// What comes after a good handshake.
        private func stranger(
            _ name: String, _ act: @escaping (inout HostilePeer, ShareKeys) -> Void
        ) -> Attack {
            Attack(name) { port, keys in
                var peer = try HostilePeer(port: port, seed: UInt64(name.utf8.count) &* 7)
                act(&peer, keys)
                return peer.socket
            }
        }

        private var attacks: [Attack] {
            var random = SeededRandom(seed: Machine.seed)
            let garbage = random.bytes(65_536)
            let messages = (0..<40).map { _ in
                (
                    type: Int.random(in: 0...9, using: &random),
                    payload: random.bytes(Int.random(in: 0...3000, using: &random))
                )
            }
            // A varint of 2^53 and more: eight bytes after 0xff.
            let huge: [UInt8] = [0xff, 0, 0, 0, 0, 0, 0, 0x20, 0]
            var hugeClock = WireWriter()
            hugeClock.writeUInt(1)
            hugeClock.writeBytes32(Bytes32(repeating: 7))
            return [
                raw("garbage", garbage),
                raw("a request of the web", Array("GET / HTTP/1.1\r\nHost: x\r\n\r\n".utf8)),
                raw("a first frame of 16 MiB", [0xff, 0xff, 0xff] + garbage),
                raw("a first frame cut short", [32, 0, 0] + garbage[..<10], endsSending: true),
                raw("a first key that is no point", [32, 0, 0] + [UInt8](repeating: 0, count: 32)),
                raw("empty frames", [UInt8](repeating: 0, count: 30_000)),
                raw("silence", []),
                raw("one byte", [32]),
                stranger("silence after the handshake") { _, _ in },
                stranger("a frame that nobody encrypted") { peer, _ in
                    peer.sendFrame(Array(garbage[..<500]))
                },
                stranger("a frame of 16 MiB that never comes") { peer, _ in
                    peer.socket.send([0xfe, 0xff, 0xff] + garbage)
                },
                stranger("a frame cut short") { peer, _ in
                    peer.socket.send([100, 0, 0] + garbage[..<50])
                    peer.socket.endSending()
                },
                stranger("nonsense in good frames") { peer, _ in
                    for message in messages where !peer.send(message.payload) { return }
                },
                stranger("lengths of 2^53 in a batch") { peer, _ in
                    peer.send([0, 0] + huge + huge)
                },
                stranger("a channel with a name of 2^53 bytes") { peer, _ in
                    peer.send([0, 1, 1] + huge)
                },
                stranger("thousands of channels that nobody knows") { peer, _ in
                    for index in 0..<5000 {
                        let id = Array("\(index)".utf8)
                        guard peer.open("x", id: id, handshake: []) else { return }
                    }
                },
                stranger("the wrong share key") { peer, _ in
                    let other = ShareKeys(shareKey: Bytes32(repeating: 1))
                    _ = peer.openControl(other, messages: messages)
                },
                stranger("a wrong capability on the right channel") { peer, keys in
                    peer.open(
                        ControlMessage.protocolName, id: keys.controlChannel.bytes,
                        handshake: [1] + Bytes32(repeating: 2).bytes, messages: messages)
                },
                stranger("a capability cut short") { peer, keys in
                    peer.open(
                        ControlMessage.protocolName, id: keys.controlChannel.bytes,
                        handshake: [1, 2, 3])
                },
                stranger("the share key, then nonsense") { peer, keys in
                    _ = peer.openControl(keys, messages: messages)
                },
                stranger("the share key, then a clock of 2^53 logs") { peer, keys in
                    _ = peer.openControl(keys, messages: [(type: 3, payload: huge)])
                },
                stranger("the share key, then a log of 2^53 blocks") { peer, keys in
                    let payload = hugeClock.bytes + huge
                    _ = peer.openControl(keys, messages: [(type: 3, payload: payload)])
                },
            ]
        }

        @Test func `hostile peers are dropped and nothing else notices`() throws {
            try Place.use(.seconds(150)) { place in
                let alice = Device("alice", in: place)
                let bob = Device("bob", in: place)
                let link = try alice.create()
                try bob.join(link)
                try Devices.converge([alice, bob])
                let keys = ShareKeys(shareKey: try InviteLink(parsing: link).shareKey)
                let daemon = try #require(alice.daemons.first)
                let memoryBefore = memory(of: daemon)

                // All of them at once; those that stay silent have to be dropped by the clock.
                var open: [(name: String, socket: LoopbackSocket)] = []
                for attack in attacks {
                    do {
                        open.append((attack.name, try attack.run(alice.port, keys)))
                    } catch {
                        Issue.record("\(attack.name): \(error)")
                    }
                    let text = Array("during \(attack.name)".utf8)
                    try alice.write(text, to: "note")
                    let seen = wait(.seconds(3)) { bob.read("note") == text }
                    #expect(seen, "the real peer was cut off by \(attack.name)")
                }
                for (name, socket) in open {
                    let port = socket.localPort
                    #expect(socket.isDropped(within: .seconds(15)), "\(name) is still connected")
                    let isLogged = wait(.seconds(2)) { alice.log.contains("127.0.0.1:\(port)") }
                    #expect(isLogged, "no line in the log tells of \(name)")
                }
                #expect(alice.daemons == [daemon], "it has not been restarted")
                let growth = memory(of: daemon) - memoryBefore
                #expect(growth < 64 << 20, "\(growth) bytes more memory")
                #expect(try alice.status().peers.count { $0.state == "connected" } == 1)
                #expect(try alice.status().refused == 0)
                try bob.write("after it all", to: "note")
                try Devices.converge([alice, bob])
            }
        }

        @Test func `hundreds of idle connections keep nobody out`() throws {
            try Place.use(.seconds(90)) { place in
                let pair = try Pair(in: place)
                try pair.converge()
                var open: [LoopbackSocket] = []
                for _ in 0..<300 {
                    if let socket = try? LoopbackSocket(port: pair.alice.port) {
                        open.append(socket)
                    }
                }
                try pair.alice.write("during", to: "note")
                #expect(wait(.seconds(5)) { pair.bob.read("note") == Array("during".utf8) })
                // Also one who comes now gets in, at the latest when the idle ones are dropped.
                try pair.bob.pause()
                try pair.bob.resume()
                try pair.alice.write("again", to: "note")
                try pair.converge(within: .seconds(40))
                #expect(wait(.seconds(20)) { open.allSatisfy { $0.receive() == nil } })
            }
        }

        /// Resident bytes.
        private func memory(of process: pid_t) -> Int {
            let text =
                (try? String(contentsOfFile: "/proc/\(process)/status", encoding: .utf8)) ?? ""
            let line = text.split(separator: "\n").first { $0.hasPrefix("VmRSS:") } ?? ""
            return (line.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0) << 10
        }
    }
}
