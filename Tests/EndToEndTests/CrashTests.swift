import Base
import Glibc
import Testing

extension EndToEndTests {
    /// `kill -9` in the middle of things.
    struct CrashTests {
        /// Who is killed, and which of the random moments it is.
        @Test(arguments: ["alice", "bob"], 0..<(Machine.isFull ? 10 : 2))
        func `a daemon killed at any moment loses nothing that was promised`(
            victimName: String, round: Int
        ) throws {
            let seed = Machine.seed &+ UInt64(round) &* 7919 &+ (victimName == "bob" ? 1 : 0)
            try Place.use(.seconds(150)) { place in
                var random = SeededRandom(seed: seed)
                let source = place.path + "/source"
                try Fixture.make(source, files: 400, bytes: 15_000_000, in: place)
                let pair = try Pair(in: place)
                try Files.makeFolder(pair.alice.path("recorded"))
                try pair.converge()
                let victim = victimName == "alice" ? pair.alice : pair.bob

                let recorder = Recorder(seed: seed)
                recorder.start(in: pair.alice.path("recorded"))
                let copy = try place.start(["cp", "-a", source, pair.alice.path("tree")])
                usleep(UInt32.random(in: 100_000...4_000_000, using: &random))
                victim.crash()
                let crashed = ContinuousClock.now
                if victimName == "bob" {
                    // Nothing of this is to be noticed on the other device.
                    #expect(copy.finish(within: .seconds(60)).code == 0, "seed \(seed)")
                } else {
                    copy.kill()
                }
                recorder.stop()
                try victim.mount()
                try victim.check()
                try expectPromises(recorder, on: pair.alice, crashed, seed)

                // Whatever was half done is done by doing it again; then both have it.
                // Times that differ within a second are not equal.
                let tree = pair.alice.path("tree")
                try place.shell("rsync -aHX --delete --modify-window=-1 '\(source)/' '\(tree)/'")
                try pair.converge(within: .seconds(60))
                try expectPromises(recorder, on: pair.bob, crashed, seed)
                let differences = try TreeListing(of: pair.bob.path("tree"))
                    .differences(from: TreeListing(of: source)).joined(separator: "\n")
                #expect(differences.isEmpty, "seed \(seed):\n\(differences)")
                for device in pair.both { try device.check() }
            }
        }

        @Test func `programs get on when the daemon is killed while pages are called in`() throws {
            try Place.use(.seconds(90)) { place in
                let alice = Device("alice", in: place)
                try alice.create()
                for round in 0..<3 {
                    let file = alice.path("zeros")
                    let writer = try place.start(
                        ["dd", "if=/dev/zero", "of=\(file)", "bs=1M", "count=800"])
                    usleep(UInt32(650_000 + 60_000 * round))
                    alice.crash()
                    #expect(alice.daemons.isEmpty, "round \(round)")
                    #expect(!writer.finish(within: .seconds(10)).timedOut, "round \(round)")
                    try alice.mount()
                    try Files.remove(file)
                }
            }
        }

        /// What was synced, or closed more than a second before, has to be there.
        private func expectPromises(
            _ recorder: Recorder, on device: Device, _ crashed: ContinuousClock.Instant,
            _ seed: UInt64
        ) throws {
            func isPromised(_ file: Recorder.Written) -> Bool {
                file.closed < crashed && file.isSynced
                    || file.closed < crashed - .seconds(1)
            }
            for file in recorder.written where isPromised(file) {
                let found = device.read("recorded/file \(file.number)")
                #expect(
                    found == recorder.bytes(file.number),
                    """
                    seed \(seed), \(device.name): file \(file.number), \
                    \(file.isSynced ? "synced" : "closed") \(crashed - file.closed) before, has \
                    \(found?.count.description ?? "no") bytes
                    """)
            }
            // The rename over was promised a second after it: that save or a later one.
            let kept = recorder.saves.filter { $0.closed < crashed - .seconds(1) }.last
            guard let kept else { return }
            let found = device.read("recorded/\(Recorder.savedName)")
            let allowed = recorder.saves.filter { $0.number >= kept.number }
            // A save that the crash cut off between the system and its record may be there too.
            let next = recorder.savedText((recorder.saves.last?.number ?? 0) + 5)
            #expect(
                allowed.contains { recorder.savedText($0.number) == found } || found == next,
                "seed \(seed), \(device.name): saved file has \(found?.count ?? -1) bytes")
        }

        @Test func `a dead mount is cleared away by the next mount`() throws {
            try Place.use(.seconds(60), mayLeave: false) { place in
                let alice = Device("alice", in: place)
                try alice.create()
                try Files.write(Array("synced".utf8), to: alice.path("kept"), synced: true)
                alice.crash()
                #expect(alice.read("kept") == nil, "the mount is dead")
                let status = try alice.holdfast("status", alice.mountPoint)
                #expect(status.code == 10)
                try alice.mount()
                #expect(alice.read("kept") == Array("synced".utf8))
                #expect(Machine.mounts(below: place.path).count == 1)
                try alice.unmount()
            }
        }
    }
}
