import Base
import Crypto
import Glibc
import Host
import Share
import Swarm
import Synchronization
import Testing

@testable import holdfast

/// dht, warm and doctor, with real nodes on loopback; signals are faked.
@Suite struct NodeCommandTests {
    /// A command that runs on a thread of its own until it is stopped.
    private final class Running: Sendable {
        private let console: FakeConsole
        private let thread: WorkerPool
        private let stop = Mutex<(@Sendable () -> Void)?>(nil)
        private let code = Mutex<ExitCode?>(nil)

        init(_ words: [String]) throws {
            // Used by the thread alone once that runs, but for its console.
            nonisolated(unsafe) let bench = Bench()
            console = bench.console
            thread = try WorkerPool(threads: 1)
            bench.surroundings.signals = StopSignals(
                prepare: {}, listen: { [self] _, callback in stop.withLock { $0 = callback } })
            thread.submit { [self] in
                let result = bench.run(words)
                code.withLock { $0 = result }
            }
        }

        /// Waits until the output says it.
        func says(_ text: String) -> Bool {
            for _ in 0..<1000 {
                if output.contains(text) { return true }
                usleep(10_000)
            }
            return false
        }

        var output: String { console.output }

        func end() -> ExitCode? {
            for _ in 0..<1000 where code.withLock({ $0 }) == nil {
                stop.withLock { $0 }?()
                usleep(10_000)
            }
            thread.stop()
            return code.withLock { $0 }
        }

        /// Where the node listens.
        func address() throws -> String {
            #expect(says("(UDP)\n"))
            let line = try #require(output.split(separator: "\n").first)
            return String(line.split(separator: " ")[2])
        }
    }

    @Test func `three nodes are a network, in which doctor and warm find their way`() throws {
        let first = try Running(["dht", "--listen", "127.0.0.1:0", "--bootstrap", "127.0.0.1:1"])
        let bootstrap = "--bootstrap=\(try first.address())"
        let second = try Running(["dht", "--listen", "127.0.0.1:0", bootstrap, "--json"])
        let third = try Running(["dht", "--listen", "127.0.0.1:0", bootstrap])
        #expect(third.says("others reach this node at 127.0.0.1:"))
        #expect(second.says(#""event":"ready""#))
        #expect(second.output.contains(#""persistent":true"#))

        let bench = Bench()
        bench.surroundings.examineMachine = { _ in MachineFacts(isRoot: true) }
        #expect(bench.run("doctor", bootstrap, "--json") == .success)
        #expect(bench.console.output.contains(#""nat":"none""#))
        #expect(bench.console.output.contains(#""reachable":true"#))

        let topic = String(repeating: "ab", count: 32)
        let warm = try Running(["warm", topic, bootstrap])
        #expect(warm.says("topic abababab: no device is announced; "))
        #expect(warm.end() == .success)
        #expect(third.end() == .success)
        #expect(third.output.hasSuffix("stopped\n"))
        #expect(second.end() == .success)
        #expect(first.end() == .success)
    }

    @Test func `a blind relay is announced, and its key is the device's`() throws {
        let first = try Running(["dht", "--listen", "127.0.0.1:0", "--bootstrap", "127.0.0.1:1"])
        let bootstrap = "--bootstrap=\(try first.address())"
        let relay = try Running(["dht", "--listen", "127.0.0.1:0", bootstrap, "--blind-relay"])
        #expect(relay.says("blind relay \(KeyPair(seed: .zero).publicKey.hex)\n"))
        let warm = try Running(["warm", BlindRelayMessage.topic.hex, bootstrap, "--json"])
        #expect(warm.says(#""devices":1"#))
        #expect(warm.end() == .success)
        #expect(relay.end() == .success)
        #expect(first.end() == .success)
    }

    @Test func `a port in use and an address of another machine are said so`() throws {
        let first = try Running(["dht", "--listen", "127.0.0.1:0", "--bootstrap", "127.0.0.1:1"])
        let address = try first.address()
        let bench = Bench()
        #expect(
            bench.run("dht", "--listen", address, "--bootstrap", "127.0.0.1:1") == .inUse)
        #expect(bench.console.errors.contains("end the process that has it, or choose another"))
        #expect(
            bench.run("dht", "--listen", "192.0.2.1:4711", "--bootstrap", "127.0.0.1:1")
                == .general)
        #expect(bench.console.errors.contains("Cannot assign requested address"))
        #expect(first.end() == .success)
    }

    @Test(arguments: [
        (["dht", "--listen", "[::1]:4711"], ExitCode.usage, "the DHT speaks IPv4 only"),
        (["dht", "--bootstrap", "nonsense"], .usage, "--bootstrap cannot be nonsense"),
        (["dht", "--bootstrap", "127.0.0.1:0"], .usage, "use HOST:PORT"),
        (
            ["dht", "--bootstrap", "host.invalid:4711"], .noPeer,
            "cannot find the host host.invalid: see --bootstrap"
        ),
        (
            ["dht", "--listen", "0.0.0.0:49737", "--public", "--bootstrap", "0.0.0.0:49737"],
            .usage, "the node cannot tell its public address"
        ),
        (["warm"], .usage, "LINK|TOPIC is missing"),
        (["warm", "abc"], .wrongLink, "neither an invite link nor a topic"),
        (["warm", "holdfast:abc"], .wrongLink, "the link is mistyped or cut short"),
        (["doctor", "now"], .usage, "now is one word too many"),
    ])
    func `what cannot work is said in words`(words: [String], code: ExitCode, message: String) {
        let bench = Bench()
        #expect(bench.run(words) == code)
        #expect(bench.console.errors.contains(message), "\(bench.console.errors)")
    }

    @Test func `a topic may be written in two ways, a link stands for two topics`() throws {
        let topic = Bytes32(repeating: 0xab)
        #expect(try TopicArgument.parse(topic.hex).map(\.topic) == [topic])
        #expect(try TopicArgument.parse(topic.hex.uppercased() + "\n").map(\.topic) == [topic])
        #expect(try TopicArgument.parse(ZBase32.encode(topic.bytes)).map(\.topic) == [topic])
        let link = InviteLink(
            shareKey: topic, foundingLog: .zero, inviteSeed: .zero, name: "n", addressHints: [])
        let keys = ShareKeys(shareKey: topic)
        #expect(
            try TopicArgument.parse(link.text).map(\.topic)
                == [keys.dataTopic, keys.bootstrapTopic])
    }

    @Test func `doctor without a network ends with 4, and stays itself without one`() {
        let bench = Bench()
        bench.surroundings.examineNetwork = { bootstrap in
            NetworkFacts(bootstrap: bootstrap.map { .init(address: "\($0)") })
        }
        bench.surroundings.examineMachine = { _ in MachineFacts(isRoot: true) }
        bench.environment = ["HOLDFAST_BOOTSTRAP": "10.0.0.1:1,10.0.0.2:2"]
        #expect(bench.run("doctor") == .noPeer)
        #expect(bench.console.output.contains("10.0.0.2:2 does not answer"))
        #expect(bench.console.errors.contains("no node of the DHT answers"))
        #expect(bench.run("doctor", "--json") == .noPeer)
        #expect(bench.console.output.contains(#""exitCode":4"#))
    }
}
