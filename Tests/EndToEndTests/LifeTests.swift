import Base
import Glibc
import Testing

extension EndToEndTests {
    /// A share from its making to its end.
    struct LifeTests {
        @Test func `two devices make, join, leave and mount again one share`() throws {
            try Place.use(.seconds(120), mayLeave: false) { place in
                let alice = Device("alice", in: place)
                let link = try alice.create("things")
                #expect(alice.isMounted)
                #expect(link.hasPrefix("holdfast:"))
                #expect(alice.daemons.count == 1)
                try alice.write("from before bob came", to: "early")

                let bob = Device("bob", in: place)
                try bob.join(link)
                let pair = [alice, bob]
                try Devices.converge(pair)
                #expect(bob.read("early") == Array("from before bob came".utf8))

                try alice.write("1", to: "from alice")
                try bob.write("2", to: "from bob")
                try Devices.converge(pair)
                #expect(alice.names() == ["early", "from alice", "from bob"])

                let before = try alice.status()
                for device in pair {
                    try device.unmount()
                    #expect(!device.isMounted)
                    #expect(wait(.seconds(5)) { device.daemons.isEmpty })
                    #expect(device.names().isEmpty, "the mount point is an empty folder again")
                }
                for device in pair { try device.mount() }
                #expect(try alice.status().digest == before.digest)
                #expect(try bob.status().digest == before.digest)
                #expect(bob.read("from alice") == Array("1".utf8))

                // They find each other again without being told.
                try bob.write("3", to: "after")
                try Devices.converge(pair)
                #expect(alice.read("after") == Array("3".utf8))
                for device in pair { try device.unmount() }
                #expect(wait(.seconds(5)) { place.processes.isEmpty })
                #expect(Machine.mounts(below: place.path).isEmpty)
            }
        }

        @Test func `a share is checked as it is at one moment while programs write`() throws {
            try Place.use(.seconds(120)) { place in
                let alice = Device("alice", in: place)
                _ = try alice.create("things")
                let script = """
                    i=0
                    while i=$((i + 1)); do
                        mkdir -p d$((i % 7)); echo $i > d$((i % 7))/$i
                        mv d$((i % 7))/$i d$((i % 5))/ || :; rm -f d*/$((i - 20))
                        [ $((i % 50)) != 0 ] || head -c 300000 /dev/urandom > large$((i % 3))
                    done
                    """
                let writer = try place.start(["/bin/sh", "-c", script], in: alice.mountPoint)
                defer { writer.kill() }
                for _ in 0..<6 { try alice.check() }
            }
        }

        @Test func `what one writes the other reads at once, both ways`() throws {
            try Place.use(.seconds(60)) { place in
                let pair = try Pair(in: place)
                try pair.converge()
                for round in 0..<10 {
                    let (writer, reader) =
                        round % 2 == 0 ? (pair.alice, pair.bob) : (pair.bob, pair.alice)
                    let text = Array("round \(round)".utf8)
                    try writer.write(text, to: "note")
                    let isShown = wait(.seconds(2), every: .milliseconds(1)) {
                        reader.read("note") == text
                    }
                    if !isShown {
                        // Whether it did not come, or is not shown, and what brings it.
                        let status = try reader.status()
                        let shown = reader.read("note").map { String(decoding: $0, as: UTF8.self) }
                        Issue.record(
                            """
                            round \(round): \(reader.name) shows \(shown ?? "nothing"); digests are \
                            \(try writer.status().digest == status.digest ? "equal" : "different"), \
                            pending \(status.pending.blocks), conflicts \(status.conflicts); log:
                            \(reader.log.suffix(2000))
                            """)
                    }
                }
                // What the reader has open and cached changes under it, as in any folder.
                let old = try FileHandleReader(pair.bob.path("note"))
                #expect(old.read() == "round 9")
                try pair.alice.write("after", to: "note")
                #expect(wait(.seconds(2)) { pair.bob.read("note") == Array("after".utf8) })
                try Files.makeFolder(pair.alice.path("folder"))
                try pair.alice.write("x", to: "folder/inner")
                try Files.rename(pair.alice.path("folder"), to: pair.alice.path("renamed"))
                #expect(wait(.seconds(2)) { pair.bob.read("renamed/inner") == Array("x".utf8) })
                #expect(wait(.seconds(2)) { !Files.exists(pair.bob.path("folder")) })
                try Files.remove(pair.bob.path("note"))
                #expect(wait(.seconds(2)) { !Files.exists(pair.alice.path("note")) })
                #expect(try pair.alice.status().conflicts == 0)
            }
        }

        @Test func `a third device joins through the second and gets everything`() throws {
            try Place.use(.seconds(120)) { place in
                let pair = try Pair(in: place)
                var random = SeededRandom(seed: Machine.seed)
                for index in 0..<50 {
                    try pair.alice.write(random.bytes(100 + index * 97), to: "small \(index)")
                }
                try pair.alice.write(random.bytes(3_000_000), to: "large")
                try pair.bob.write(random.bytes(700_000), to: "of bob")
                try pair.converge()
                // The founder is away: any member admits, and hands on what others wrote.
                try pair.alice.unmount()
                let carol = Device("carol", in: place)
                try carol.join(pair.bob.invite())
                try Devices.converge([pair.bob, carol])
                try carol.write("hello", to: "of carol")
                try pair.alice.mount()
                try Devices.converge([pair.alice, pair.bob, carol])
                #expect(pair.alice.read("of carol") == Array("hello".utf8))
                #expect(try carol.status().clock.count == 3)
            }
        }

        @Test func `pause and resume are seen in status, and the mount works on`() throws {
            try Place.use(.seconds(60)) { place in
                let pair = try Pair(in: place)
                try pair.converge()
                try pair.bob.pause()
                #expect(try pair.bob.status().paused)
                try pair.alice.write("a", to: "a")
                try pair.bob.write("b", to: "b")
                usleep(1_000_000)
                #expect(pair.bob.names() == ["b"])
                #expect(pair.alice.names() == ["a"])
                #expect(try pair.bob.status().pending.blocks > 0, "nobody has acknowledged b")
                try pair.bob.resume()
                #expect(try !pair.bob.status().paused)
                try pair.converge()
                #expect(pair.alice.names() == ["a", "b"])
            }
        }
    }
}
