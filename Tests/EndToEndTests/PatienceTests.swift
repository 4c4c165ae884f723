import CLinux
import Foundation
import Glibc
import Testing

extension EndToEndTests {
    /// Peers that are silent, slow or gone, and a mount that goes on and ends all the same.
    struct PatienceTests {
        @Test func `a peer that falls silent in the middle holds nobody up`() throws {
            try Place.use(.seconds(180)) { place in
                let pair = try Pair(in: place)
                let (alice, bob) = (pair.alice, pair.bob)
                try bob.write("before", to: "own")
                try pair.converge()
                let silent = try #require(alice.daemons.first)
                // The name comes first, then the bytes; those at the end come last.
                let bytes = 256 << 20
                try place.shell("head -c \(bytes) /dev/urandom >big", in: alice.mountPoint)
                #expect(
                    wait(.seconds(60), every: .milliseconds(1)) {
                        (try? Files.size(of: bob.path("big"))) == Int64(bytes)
                    })
                kill(silent, SIGSTOP)
                defer { kill(silent, SIGCONT) }

                let reader = try place.start(["/usr/bin/tail", "-c", "65536", bob.path("big")])
                let stuck = try place.start(["/bin/cat", bob.path("big")])
                #expect(bob.names() == ["big", "own"])
                try place.shell(
                    """
                    stat big own; cat own; echo new >new; sync new; mv new newer; rm own
                    dd if=/dev/zero of=more bs=64k count=16 conv=fsync 2>/dev/null
                    """, in: bob.mountPoint, within: .seconds(10))
                let status = try bob.status()
                #expect(status.pending.chunks > 0, "the peer was too fast for this test")

                stuck.kill()
                #expect(!stuck.isRunning)
                let outcome = reader.finish(within: .seconds(30))
                #expect(!outcome.timedOut)
                #expect(outcome.code == 1)
                #expect(outcome.errors.contains("No route to host"), "\(outcome.errors)")

                // Somebody waits, and still the mount ends.
                let last = try place.start(["/usr/bin/tail", "-c", "65536", bob.path("big")])
                try bob.unmount()
                #expect(last.finish(within: .seconds(5)).code == 1)
                try bob.mount()
                #expect(bob.read("newer") == Array("new\n".utf8))
                kill(silent, SIGCONT)
                try pair.converge(within: .seconds(90))
            }
        }

        @Test func `addresses where nobody ever answers hold nobody up`() throws {
            try Place.use(.seconds(60), mayLeave: false) { place in
                // The kernel takes the connections, and that is all that ever happens.
                let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
                defer { close(listener) }
                let port = Machine.freePort()
                var address = LoopbackSocket.address(port: port)
                let result = withUnsafePointer(to: &address) {
                    $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                        bind(listener, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
                    }
                }
                try #require(result == 0 && listen(listener, 100) == 0)
                let alice = Device("alice", in: place)
                let outcome = try alice.holdfast(
                    "create", alice.mountPoint, "--peer", "127.0.0.1:\(port)")
                #expect(outcome.code == 0)
                for index in 0..<20 { try alice.write("\(index)", to: "\(index)") }
                try place.shell(
                    "sync 1; mv 1 2; rm 3; ls", in: alice.mountPoint, within: .seconds(5))
                #expect(alice.names().count == 18)
                try alice.unmount()
                #expect(wait(.seconds(5)) { place.processes.isEmpty })
            }
        }
    }
}
