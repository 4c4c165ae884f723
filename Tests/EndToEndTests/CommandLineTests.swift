import Foundation
import Glibc
import Testing

extension EndToEndTests {
    /// What the command line says to those who err, and to programs that read it.
    struct CommandLineTests {
        /// One line that says what is wrong, the documented code, nothing on standard output.
        private func expectRefusal(
            _ outcome: Outcome, code: Int32, saying word: String? = nil,
            sourceLocation: SourceLocation = #_sourceLocation
        ) {
            #expect(!outcome.timedOut, sourceLocation: sourceLocation)
            #expect(outcome.code == code, "\(outcome.errors)", sourceLocation: sourceLocation)
            #expect(outcome.output.isEmpty, sourceLocation: sourceLocation)
            let lines = outcome.errors.split(separator: "\n")
            #expect(lines.count == 1, "\(outcome.errors)", sourceLocation: sourceLocation)
            if let word {
                let found = outcome.errors.localizedStandardContains(word)
                #expect(found, "\(outcome.errors)", sourceLocation: sourceLocation)
            }
        }

        @Test func `misuse is told in one line, with its exit code`() throws {
            try Place.use(.seconds(60), mayLeave: false) { place in
                let alice = Device("alice", in: place)
                let elsewhere = place.path + "/nowhere"
                expectRefusal(try alice.holdfast("frobnicate"), code: 2, saying: "frobnicate")
                expectRefusal(
                    try alice.holdfast("create", "--colour", alice.mountPoint), code: 2,
                    saying: "--colour")
                expectRefusal(try alice.holdfast("create"), code: 2)
                expectRefusal(
                    try alice.holdfast("create", alice.mountPoint, "--transport", "pigeon"),
                    code: 2,
                    saying: "pigeon")
                expectRefusal(
                    try alice.holdfast("create", alice.mountPoint, "--listen", "nonsense"), code: 2)
                expectRefusal(try alice.holdfast("create", elsewhere), code: 3, saying: elsewhere)
                expectRefusal(try alice.holdfast("mount", alice.mountPoint), code: 3)
                expectRefusal(try alice.holdfast("status", alice.mountPoint), code: 3)
                expectRefusal(try alice.holdfast("unmount", alice.mountPoint), code: 3)
                // A file is no place to mount at.
                try Files.write([], to: place.path + "/file")
                let atFile = try alice.holdfast("create", place.path + "/file")
                #expect(atFile.code != 0)
                #expect(alice.daemons.isEmpty)
                #expect(!alice.isMounted)
            }
        }

        @Test func `a wrong link is told from a cut one`() throws {
            try Place.use(.seconds(60)) { place in
                let alice = Device("alice", in: place)
                let bob = Device("bob", in: place)
                let link = try alice.create()
                func join(_ text: String) throws -> Outcome {
                    try bob.holdfast("join", "-", bob.mountPoint, input: text + "\n")
                }
                expectRefusal(try join("https://example.org"), code: 12, saying: "holdfast:")
                expectRefusal(try join(String(link.dropLast(3))), code: 12, saying: "cut")
                let middle = link.index(link.startIndex, offsetBy: 40)
                let wrong: Character = link[middle] == "y" ? "b" : "y"
                let mistyped = link[..<middle] + String(wrong) + link[link.index(after: middle)...]
                expectRefusal(try join(String(mistyped)), code: 12, saying: "mistyped")
                expectRefusal(try join(""), code: 12)
                #expect(!bob.isMounted && bob.daemons.isEmpty)
                // The right one works after all these.
                try bob.join(link)
                #expect(bob.isMounted)
            }
        }

        @Test func `what is in use is not taken twice`() throws {
            try Place.use(.seconds(60)) { place in
                let alice = Device("alice", in: place)
                let other = Device("other", in: place)
                let link = try alice.create()
                let mountPoint = alice.mountPoint
                try alice.write("x", to: "file")
                // The same share again, another share on the same folder, another device's too.
                expectRefusal(try alice.holdfast("mount", mountPoint), code: 11)
                expectRefusal(try alice.holdfast("create", mountPoint), code: 11)
                expectRefusal(try other.holdfast("create", mountPoint), code: 11)
                expectRefusal(try other.holdfast("join", "-", mountPoint, input: link), code: 11)
                #expect(alice.daemons.count == 1)
                #expect(other.daemons.isEmpty)
                #expect(alice.read("file") == Array("x".utf8))
                // A port that another daemon listens on.
                let taken = ["HOLDFAST_LISTEN": "127.0.0.1:\(alice.port)"]
                let refused = try other.holdfast("create", other.mountPoint, extra: taken)
                #expect(refused.code == 11, "\(refused.errors)")
                #expect(!other.isMounted && other.daemons.isEmpty)
            }
        }

        @Test func `without a daemon the commands say so`() throws {
            try Place.use(.seconds(60)) { place in
                let alice = Device("alice", in: place)
                try alice.create()
                try alice.unmount()
                for command in ["status", "peers", "pause", "resume", "unmount", "invite"] {
                    let outcome = try alice.holdfast(command, alice.mountPoint)
                    #expect(outcome.code == 10, "\(command): \(outcome.errors)")
                    #expect(outcome.errors.split(separator: "\n").count == 1)
                    // To end what has ended there is nothing to do; for the rest there is.
                    #expect(command == "unmount" || outcome.errors.contains("holdfast mount"))
                }
            }
        }

        @Test func `a link whose devices are all away says so`() throws {
            try Place.use(.seconds(120)) { place in
                let alice = Device("alice", in: place)
                let link = try alice.create()
                try alice.unmount()
                let bob = Device("bob", in: place)
                let outcome = try bob.holdfast(
                    "join", "-", bob.mountPoint, input: link, within: .seconds(60))
                expectRefusal(outcome, code: 4)
                #expect(!bob.isMounted && bob.daemons.isEmpty)
            }
        }

        @Test func `status as JSON has every documented key`() throws {
            try Place.use(.seconds(60)) { place in
                let pair = try Pair(in: place)
                try pair.alice.write("12345", to: "five")
                try pair.converge()
                let outcome = try pair.bob.holdfast("status", pair.bob.mountPoint, "--json")
                let json = try JSONSerialization.jsonObject(with: Data(outcome.output.utf8))
                let status = try #require(json as? [String: Any])
                let documented = [
                    "share", "name", "device", "mountpoint", "transport", "paused", "peers",
                    "clock",
                    "digest", "pending", "files", "bytes", "refused", "conflicts",
                ]
                for key in documented { #expect(status[key] != nil, "\(key)") }
                #expect(status["name"] as? String == "things")
                #expect(status["device"] as? String == "bob")
                #expect(status["mountpoint"] as? String == pair.bob.mountPoint)
                #expect(status["transport"] as? String == "direct")
                #expect(status["paused"] as? Bool == false)
                #expect(status["files"] as? Int == 1)
                #expect(status["bytes"] as? Int == 5)
                #expect(status["refused"] as? Int == 0)
                #expect(status["conflicts"] as? Int == 0)
                let pending = try #require(status["pending"] as? [String: Any])
                #expect(Set(pending.keys).isSuperset(of: ["blocks", "chunks", "bytes"]))
                let clock = try #require(status["clock"] as? [String: Any])
                #expect(clock.count == 2)
                #expect(clock.keys.allSatisfy { $0.count == 64 && $0.allSatisfy(\.isHexDigit) })
                let peers = try #require(status["peers"] as? [[String: Any]])
                #expect(peers.count == 1)
                #expect(peers.first?["device"] as? String == "alice")
                #expect(peers.first?["state"] as? String == "connected")
                #expect((peers.first?["bytesReceived"] as? Int ?? 0) > 0)
            }
        }

        @Test func `the other commands answer, in words and as JSON`() throws {
            try Place.use(.seconds(60)) { place in
                let pair = try Pair(in: place)
                try pair.alice.write("1", to: "noted")
                try pair.alice.write("22", to: "noted")
                try pair.converge()
                for command in ["status", "peers"] {
                    for arguments in [[], ["--json"]] {
                        let outcome = try place.start(
                            [Machine.program, command, pair.bob.mountPoint] + arguments,
                            extra: pair.bob.environment
                        ).finish(within: .seconds(20))
                        #expect(outcome.code == 0, "\(command): \(outcome.errors)")
                        #expect(outcome.output.contains("alice"))
                        guard arguments == ["--json"] else { continue }
                        let json = try? JSONSerialization.jsonObject(
                            with: Data(outcome.output.utf8))
                        #expect(json != nil, "\(command): \(outcome.output)")
                    }
                }
                let log = try pair.bob.holdfast("log", pair.bob.path("noted"))
                #expect(log.code == 0, "\(log.errors)")
                #expect(log.output.contains("alice"))
                #expect(log.output.contains("noted"))
                let entries = try pair.bob.holdfast("log", pair.bob.path("noted"), "--json")
                let json = try? JSONSerialization.jsonObject(with: Data(entries.output.utf8))
                #expect(json is [Any], "\(entries.output)\(entries.errors)")
                try pair.bob.check()
                try pair.bob.unmount()
                // Also of a share that is not mounted, and the view made anew from the logs.
                let digest = try pair.alice.status().digest
                let rebuilt = try pair.bob.holdfast(
                    "check", pair.bob.mountPoint, "--rebuild", within: .seconds(60))
                #expect(rebuilt.code == 0, "\(rebuilt.errors)")
                try pair.bob.mount()
                #expect(try pair.bob.status().digest == digest)
            }
        }

        @Test func `help is there for every command`() throws {
            try Place.use(.seconds(60)) { place in
                let alice = Device("alice", in: place)
                let all = try alice.holdfast("--help")
                #expect(all.code == 0)
                let commands = [
                    "create", "join", "mount", "unmount", "invite", "status", "peers", "pause",
                    "resume", "log", "check",
                ]
                for command in commands {
                    #expect(all.output.contains(command))
                    let help = try alice.holdfast(command, "--help")
                    #expect(help.code == 0 && help.output.contains(command), "\(command)")
                }
                #expect(try alice.holdfast("create", "--help").output.contains("--listen"))
            }
        }

        @Test func `a shell that reads the link from a pipe is not kept waiting by the daemon`()
            throws
        {
            try Place.use(.seconds(60)) { place in
                let alice = Device("alice", in: place)
                let outcome = try place.start(
                    [
                        "/bin/sh", "-c",
                        #"link="$("$0" create "$1" 2>&1 | tail -1)"; echo "got $link""#,
                        Machine.program, alice.mountPoint,
                    ], extra: alice.environment
                ).finish(within: .seconds(20))
                #expect(outcome.output.hasPrefix("got holdfast:"), "\(outcome)")
            }
        }

        @Test func `in the foreground it ends with a signal and leaves nothing`() throws {
            try Place.use(.seconds(60), mayLeave: false) { place in
                let alice = Device("alice", in: place)
                for signal in [SIGTERM, SIGINT] {
                    let command = signal == SIGTERM ? "create" : "mount"
                    let running = try place.start(
                        [Machine.program, command, alice.mountPoint, "--foreground"],
                        extra: alice.environment)
                    #expect(wait(.seconds(15)) { alice.isMounted })
                    try alice.write("\(signal)", to: "signal \(signal)")
                    kill(running.id, signal)
                    let outcome = running.finish(within: .seconds(20))
                    #expect(outcome.code == 0, "\(outcome)")
                    #expect(!alice.isMounted)
                }
                try alice.mount()
                #expect(alice.names() == ["signal \(SIGTERM)", "signal \(SIGINT)"].sorted())
                try alice.unmount()
            }
        }
    }
}
