import Simulation
import Testing

/// Runs that failed once, made small: copies of devices that went on beside each other.
@Suite struct CloneScriptTests {
    private func check(_ script: DeviceScript) {
        let verdict = DeviceRun.run(script)
        for violation in verdict.violations {
            Issue.record("\(violation.promise): \(violation.detail)")
        }
    }

    @Test func `what a device wrote under a log that nobody let in stays in its view`() {
        check(
            DeviceScript(
                seed: 2_050_489, devices: 2,
                steps: [
                    .write(1, "a/k.bin", .inPlace),
                    .makeDirectory(0, "c"),
                    .write(0, "c/n.txt", .backup),
                    .write(0, "a", .inPlace),
                    .stage(0, "n.txt"),
                    .stage(0, "m.txt"),
                    .makeDirectory(0, "m.txt"),
                    .write(1, "a/a", .inPlace),
                    .write(1, "b", .inPlace),
                    .write(1, "k.bin", .inPlace),
                    .sleep(hours: 3000),
                    .write(1, "c/k.bin", .inPlace),
                    .run(milliseconds: 3000),
                    .write(0, "c/b/m.txt", .inPlace),
                    .write(1, "m.txt", .renameOver),
                    .writeSlowly(1, "m.txt", milliseconds: 360),
                    .stage(1, "n.txt"),
                    .stage(1, "a"),
                    .writeBinary(1, "a", kilobytes: 300),
                    .writeSlowly(1, "k.bin", milliseconds: 58),
                    .removeDirectory(1, "m.txt"),
                    .run(milliseconds: 3000),
                    .makeDirectory(1, "m.txt"),
                    .clone(1),
                    .settle,
                    .write(1, "a/n.txt", .inPlace),
                    .run(milliseconds: 3000),
                    .clone(1),
                    .clone(2),
                    .settle,
                    .write(1, "c", .inPlace),
                    .write(0, "m.txt", .inPlace),
                    .removeTree(4, "c"),
                    .backUp(0),
                    .run(milliseconds: 500),
                    .write(0, "c/b", .inPlace),
                    .putBack(0),
                    .write(3, "n.txt", .inPlace),
                    .write(1, "a/m.txt", .inPlace),
                    .write(2, "m.txt", .backup),
                    .write(2, "b", .inPlace),
                    .write(4, "b/m.txt", .inPlace),
                    .write(1, "m.txt", .inPlace),
                    .write(0, "b", .backup),
                    .write(2, "c/k.bin", .inPlace),
                    .clone(0),
                    .run(milliseconds: 500),
                    .write(3, "b", .inPlace),
                    .sleep(hours: 1),
                    .rename(0, "m.txt", to: "a"),
                    .sleep(hours: 1),
                    .settle,
                    .clone(1),
                    .run(milliseconds: 3000),
                    .write(1, "n.txt", .inPlace),
                    .stage(1, "n.txt"),
                    .write(6, "m.txt", .inPlace),
                ]))
    }

    @Test func `who has what is here does not say where the other history parts`() {
        check(
            DeviceScript(
                seed: 2_050_241, devices: 2,
                steps: [
                    .run(milliseconds: 4000),
                    .write(0, "a/c/k.bin", .inPlace),
                    .write(0, "m.txt", .inPlace),
                    .offline(1),
                    .sleep(hours: 3000),
                    .writeSlowly(0, "m.txt", milliseconds: 338),
                    .sync(0),
                    .writeSlowly(0, "n.txt", milliseconds: 683),
                    .clone(0),
                    .write(1, "k.bin", .backup),
                    .write(0, "m.txt", .inPlace),
                    .write(0, "n.txt", .inPlace),
                    .write(0, "a/n.txt", .inPlace),
                    .offline(1),
                    .write(0, "c/m.txt", .inPlace),
                    .write(1, "a/m.txt", .inPlace),
                    .rename(0, "n.txt", to: "a"),
                    .run(milliseconds: 5),
                    .settle,
                    .run(milliseconds: 500),
                    .edit(1, "a", 15_199_647),
                    .write(1, "b/a", .inPlace),
                    .write(1, "k.bin", .inPlace),
                    .link(2, "m.txt", to: "n.txt"),
                    .link(1, "m.txt", to: "c"),
                    .write(0, "b/b/n.txt", .inPlace),
                    .write(2, "n.txt", .inPlace),
                    .makeDirectory(2, "k.bin"),
                    .writeBinary(0, "m.txt", kilobytes: 1),
                    .writeSlowly(0, "m.txt", milliseconds: 718),
                    .write(0, "m.txt", .inPlace),
                    .sleep(hours: 1),
                    .rebuild(2),
                    .run(milliseconds: 500),
                    .rename(1, "a", to: "n.txt"),
                    .sleep(hours: 1),
                    .edit(2, "n.txt", 12_855_998),
                    .stage(2, "a"),
                    .edit(0, "a", 7_763_923),
                    .sleep(hours: 1),
                    .rename(2, "c", to: "a"),
                    .run(milliseconds: 500),
                    .run(milliseconds: 500),
                    .backUp(1),
                    .write(1, "b", .inPlace),
                    .run(milliseconds: 500),
                    .offline(0),
                    .write(1, "m.txt", .inPlace),
                    .clone(2),
                    .write(3, "c/n.txt", .inPlace),
                    .run(milliseconds: 500),
                    .write(0, "a", .inPlace),
                    .write(0, "c/b", .inPlace),
                    .write(1, "n.txt", .inPlace),
                    .write(2, "k.bin", .renameOver),
                    .write(2, "b/n.txt", .inPlace),
                    .write(0, "n.txt", .inPlace),
                    .write(1, "m.txt", .inPlace),
                    .write(1, "b", .inPlace),
                    .write(2, "a/m.txt", .inPlace),
                    .write(1, "b", .inPlace),
                    .sleep(hours: 1),
                    .write(1, "m.txt", .inPlace),
                    .putBack(1),
                    .sleep(hours: 1),
                ]))
    }

    /// The first was told that it gets the whole history, and had nothing of it when the connection broke; then the
    /// other copy saw all of it, so that nobody kept it.
    @Test func `who went before anything came begins with a checkpoint`() {
        check(
            DeviceScript(
                seed: 4_550_419, devices: 2,
                steps: [
                    .write(0, "n.txt", .inPlace),
                    .write(0, "m.txt", .inPlace),
                    .write(0, "a/n.txt", .inPlace),
                    .run(milliseconds: 4000),
                    .offline(1),
                    .write(0, "a", .inPlace),
                    .write(0, "b", .inPlace),
                    .sleep(hours: 1),
                    .clone(1),
                    .write(1, "m.txt", .inPlace),
                    .run(milliseconds: 100),
                    .write(2, "m.txt", .inPlace),
                    .run(milliseconds: 60),
                    .sleep(hours: 1),
                    .makeDirectory(0, "k.bin"),
                    .sleep(hours: 1),
                ]))
    }
}
