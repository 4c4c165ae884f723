import Base
import Glibc
import Testing

// A daemon has threads that wait in the kernel for what only the daemon can give: to show the other
// device's changes it makes calls on its own mount, and takes pages away that programs are reading.
extension EndToEndTests.CrashTests {
    /// What a device's own programs do all the while; each ends at its first error.
    private static let programs = [
        "while :; do ls -lR >/dev/null; cat d*/f* >/dev/null; done",
        """
        i=0
        while :; do
            i=$((i + 1)); echo $i >d1/new$i; mv d1/new$i d2/new$i; rm d2/new$i
            mkdir d0/x; rmdir d0/x
        done
        """,
        "while :; do dd if=/dev/zero of=big bs=1M count=100; cat big >/dev/null; done",
        "exec 3<>d0/f1; while :; do echo one >>d0/f2; echo two >&3; cat d0/f1 >/dev/null; done",
        "while :; do cat remote >/dev/null; done",
    ]

    /// What the other device does to the same files.
    private static let remote = """
        i=0
        while :; do
            i=$((i + 1))
            for d in d0 d1 d2; do
                for f in 1 2 3 4 5 6 7 8; do echo $i >$d/f$f; done
                mv $d/f9 $d/g9; touch $d/n$i; mv $d/g9 $d/f9; rm $d/n$i; mkdir $d/q$i; rmdir $d/q$i
            done
            head -c 3000000 /dev/zero >remote
        done
        """

    @Test func `no program waits for a daemon that was killed while it showed changes`() throws {
        try Place.use(.seconds(120)) { place in
            var random = SeededRandom(seed: Machine.seed)
            let pair = try Pair(in: place)
            let script = """
                mkdir d0 d1 d2
                for d in d0 d1 d2; do for f in 1 2 3 4 5 6 7 8 9; do echo x >$d/f$f; done; done
                echo r >remote
                """
            try place.shell(script, in: pair.alice.mountPoint)
            for round in 0..<(Machine.isFull ? 60 : 6) {
                #expect(wait(.seconds(20)) { pair.bob.names().contains("remote") })
                let remote = try place.start(
                    ["/bin/sh", "-c", Self.remote], in: pair.alice.mountPoint)
                let programs = try Self.programs.map {
                    try place.start(["/bin/sh", "-ec", $0], in: pair.bob.mountPoint)
                }
                usleep(UInt32.random(in: 200_000...1_500_000, using: &random))
                pair.bob.crash()
                #expect(pair.bob.daemons.isEmpty, "seed \(Machine.seed), round \(round)")
                for program in programs {
                    let outcome = program.finish(within: .seconds(5))
                    #expect(!outcome.timedOut, "seed \(Machine.seed), round \(round)")
                }
                remote.kill()
                try pair.bob.mount()
            }
            try pair.converge(within: .seconds(60))
        }
    }
}
