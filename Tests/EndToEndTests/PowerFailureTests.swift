import Base
import Glibc
import Testing

extension EndToEndTests {
    /// The power fails while one of two connected devices is written to; `Scripts/crash --kind power`
    /// does it for hours.
    @Suite(.enabled(if: Machine.isRoot, "only root may mount a disk below a mount"))
    struct PowerFailureTests {
        @Test(arguments: ["ext4", "strict"])
        func `a power failure takes nothing that was synced or told`(model: String) throws {
            let seed = Machine.seed
            print("power failures of a disk like \(model), seed \(seed)")
            try Place.use(.seconds(120)) { place in
                var random = SeededRandom(seed: seed)
                let disk = try FailingDisk("disk", model: model, seed: seed, in: place)
                let pair = try Pair(in: place, states: "disk")
                for failure in 0..<(Machine.isFull ? 12 : 3) {
                    let folder = pair.alice.path("recorded \(failure)")
                    try Files.makeFolder(folder)
                    let recorder = Recorder(seed: seed &+ UInt64(failure))
                    recorder.start(in: folder)
                    usleep(UInt32.random(in: 20_000...900_000, using: &random))
                    disk.fail()
                    let failed = ContinuousClock.now
                    pair.alice.crash()
                    recorder.stop()
                    try disk.restart()
                    pair.alice.boot = failure
                    try pair.alice.mount()
                    try pair.alice.check()
                    for file in recorder.written where file.isSynced && file.closed < failed {
                        let name = "recorded \(failure)/file \(file.number)"
                        #expect(
                            pair.alice.read(name) == recorder.bytes(file.number),
                            "seed \(seed), failure \(failure): file \(file.number)")
                    }
                    // No block that bob has seen was replaced by another.
                    try pair.converge(within: .seconds(60))
                    try pair.bob.check()
                }
            }
        }
    }
}
