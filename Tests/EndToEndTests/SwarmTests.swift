import Base
import Foundation
import Testing

extension EndToEndTests {
    /// Devices that know a link and the way to the DHT, and nothing of each other.
    struct SwarmTests {
        @Test func `two devices with only the link meet through the DHT and sync`() throws {
            try Place.use(.seconds(120), mayLeave: false) { place in
                let network = try Network(in: place)
                let alice = Device("alice", in: place, bootstrap: network.bootstrap)
                let link = try alice.create("things")
                try alice.write("from before bob came", to: "early")
                let bob = Device("bob", in: place, bootstrap: network.bootstrap)
                try bob.join(link)
                let pair = [alice, bob]
                #expect(
                    wait(.seconds(2 * Machine.patience)) {
                        bob.read("early") == Array("from before bob came".utf8)
                    })
                try bob.write("back", to: "late")
                try Devices.converge(pair)
                #expect(alice.read("late") == Array("back".utf8))
                for device in pair {
                    let status = try device.status()
                    #expect(status.transport == "hyperswarm" && status.problems.isEmpty)
                    #expect(
                        status.peers.map(\.path).allSatisfy {
                            ["direct", "LAN", "punched"].contains($0)
                        })
                    try device.unmount()
                }
                network.stop()
                #expect(wait(.seconds(5)) { place.processes.isEmpty })
            }
        }

        @Test func `a device that was killed is back within seconds, whichever it was`() throws {
            try Place.use(.seconds(180)) { place in
                let network = try Network(in: place)
                let alice = Device("alice", in: place, bootstrap: network.bootstrap)
                let link = try alice.create("things")
                let bob = Device("bob", in: place, bootstrap: network.bootstrap)
                try bob.join(link)
                try Devices.converge([alice, bob])
                for (victim, witness) in [(alice, bob), (bob, alice)] {
                    victim.crash()
                    try victim.mount()
                    let name = "after \(victim.name) was killed"
                    try witness.write("there?", to: name)
                    #expect(
                        wait(.seconds(5)) { victim.read(name) == Array("there?".utf8) },
                        "\(name): \(victim.log.suffix(1000))")
                }
            }
        }

        @Test func `devices that met once meet again when their bootstrap nodes are gone`() throws {
            try Place.use(.seconds(180)) { place in
                let network = try Network(in: place)
                let alice = Device("alice", in: place, bootstrap: network.bootstrap)
                let link = try alice.create("things")
                let bob = Device("bob", in: place, bootstrap: network.bootstrap)
                try bob.join(link)
                let pair = [alice, bob]
                try Devices.converge(pair)
                for device in pair { try device.unmount() }
                network.stopBootstrap()
                for device in pair { try device.mount() }
                try alice.write("still here", to: "note")
                #expect(
                    wait(.seconds(10 * Machine.patience)) {
                        bob.read("note") == Array("still here".utf8)
                    }, "\(alice.log.suffix(1000)) \(bob.log.suffix(1000))")
                try bob.write("me too", to: "answer")
                try Devices.converge(pair)
                // A file that is damaged is as good as none, and is said to be so.
                try alice.unmount()
                let files = FileManager.default.enumerator(atPath: alice.home)?.allObjects ?? []
                let name = try #require(
                    files.compactMap { $0 as? String }.first { $0.hasSuffix("/network.json") })
                try Data("{".utf8).write(to: URL(fileURLWithPath: "\(alice.home)/\(name)"))
                try alice.mount()
                #expect(alice.log.contains("network.json"), "\(alice.log.suffix(1000))")
                try Devices.converge(pair)
            }
        }

        @Test func `without a DHT the mount works, and status says so in words`() throws {
            try Place.use(.seconds(60)) { place in
                let alice = Device("alice", in: place, bootstrap: "127.0.0.1:1")
                try alice.create("things")
                try alice.write("offline", to: "note")
                #expect(alice.read("note") == Array("offline".utf8))
                #expect(wait(.seconds(15)) { (try? alice.status().problems.isEmpty) == false })
                let text = try alice.holdfast("status", alice.mountPoint).output
                #expect(text.contains("the DHT does not answer (127.0.0.1:1)"), "\(text)")
            }
        }
    }
}

/// A DHT of three nodes on loopback, each a `holdfast dht`.
private final class Network {
    let bootstrap: String
    private var nodes: [Subprocess] = []

    init(in place: Place) throws {
        let ports = (0..<3).map { _ in Machine.freePort() }
        bootstrap = ports.prefix(2).map { "127.0.0.1:\($0)" }.joined(separator: ",")
        for port in ports {
            nodes.append(
                try place.start(
                    [Machine.program, "dht", "--listen", "127.0.0.1:\(port)"],
                    extra: [
                        "HOLDFAST_BOOTSTRAP": bootstrap, "HOLDFAST_HOME": place.path + "/state",
                    ]))
        }
    }

    /// Ends the nodes that devices are told of; one lives on.
    func stopBootstrap() {
        for node in nodes.prefix(2) { kill(node.id, SIGTERM) }
        for node in nodes.prefix(2) { _ = node.finish(within: .seconds(5)) }
        nodes.removeFirst(2)
    }

    func stop() {
        for node in nodes { kill(node.id, SIGTERM) }
        for node in nodes { _ = node.finish(within: .seconds(5)) }
    }
}
