import Simulation
import Testing

/// Runs that failed once, made small: devices that went back to backups, or were cloned.
@Suite struct RestoreScriptTests {
    private func check(_ script: DeviceScript) {
        let verdict = DeviceRun.run(script)
        for violation in verdict.violations {
            Issue.record("\(violation.promise): \(violation.detail)")
        }
    }

    @Test
    func
        `what is written on an old backup and introduced late says nothing that others have settled`()
    {
        check(
            DeviceScript(
                seed: 1_500_391, devices: 4,
                steps: [
                    .makeDirectory(0, "a"),
                    .makeDirectory(0, "b"),
                    .makeDirectory(0, "a/b"),
                    .write(0, "n.txt", .inPlace),
                    .write(0, "m.txt", .inPlace),
                    .write(0, "a/n.txt", .inPlace),
                    .run(milliseconds: 4000),
                    .setOwner(3, "b", 1),
                    .settle,
                    .sleep(hours: 12),
                    .run(milliseconds: 60),
                    .write(0, "b/m.txt", .unlinkFirst),
                    .write(0, "n.txt", .backup),
                    .makeDirectory(0, "b/k.bin"),
                    .run(milliseconds: 500),
                    .write(2, "a/n.txt", .backup),
                    .stage(2, "n.txt"),
                    .write(1, "k.bin", .inPlace),
                    .rename(1, "k.bin", to: "m.txt"),
                    .run(milliseconds: 500),
                    .setXattr(2, "n.txt", 0),
                    .write(2, "a", .inPlace),
                    .open(2, "m.txt"),
                    .write(0, "c", .inPlace),
                    .write(3, "n.txt", .renameOver),
                    .sleep(hours: 1),
                    .writeSlowly(0, "a", milliseconds: 119),
                    .backUp(0),
                    .write(3, "n.txt", .inPlace),
                    .edit(1, "n.txt", 12_575_449),
                    .sleep(hours: 200),
                    .run(milliseconds: 3000),
                    .removeTree(3, "m.txt"),
                    .sleep(hours: 1),
                    .run(milliseconds: 500),
                    .write(1, "n.txt", .inPlace),
                    .sleep(hours: 3000),
                    .run(milliseconds: 500),
                    .save(2),
                    .write(2, "c", .inPlace),
                    .symlink(1, "m.txt", to: "y"),
                    .write(0, "b/k.bin", .backup),
                    .run(milliseconds: 100),
                    .write(3, "a/m.txt", .inPlace),
                    .putBack(0),
                    .write(3, "n.txt", .inPlace),
                    .sleep(hours: 1),
                    .rename(0, "m.txt", to: "c"),
                    .putBack(0),
                    .sleep(hours: 1),
                ]))
    }

    @Test func `what a fork writes again says nothing that others have settled`() {
        check(
            DeviceScript(
                seed: 1_500_132, devices: 3,
                steps: [
                    .makeDirectory(0, "a"),
                    .makeDirectory(0, "b"),
                    .makeDirectory(0, "a/b"),
                    .write(0, "n.txt", .inPlace),
                    .write(0, "m.txt", .inPlace),
                    .write(0, "a/n.txt", .inPlace),
                    .run(milliseconds: 4000),
                    .write(1, "k.bin", .inPlace),
                    .write(2, "c", .inPlace),
                    .run(milliseconds: 60),
                    .edit(1, "k.bin", 10_578_588),
                    .run(milliseconds: 60),
                    .write(2, "n.txt", .inPlace),
                    .backUp(2),
                    .write(2, "c", .backup),
                    .removeTree(1, "b"),
                    .sleep(hours: 1),
                    .run(milliseconds: 5),
                    .write(0, "k.bin", .renameOver),
                    .write(0, "m.txt", .unlinkFirst),
                    .sleep(hours: 1),
                    .backUp(0),
                    .edit(2, "m.txt", 117_125),
                    .putBack(2),
                    .write(0, "c", .inPlace),
                    .writeBinary(0, "m.txt", kilobytes: 60),
                    .rename(0, "m.txt", to: "b"),
                    .putBack(0),
                    .sleep(hours: 1),
                    .sleep(hours: 3000),
                    .write(1, "b", .renameOver),
                    .write(1, "a/m.txt", .inPlace),
                    .rename(0, "n.txt", to: "a/m.txt"),
                    .settle,
                    .sleep(hours: 1),
                    .run(milliseconds: 3000),
                    .run(milliseconds: 3000),
                    .putBack(0),
                    .writeSame(0, "c"),
                    .sleep(hours: 200),
                    .write(0, "m.txt", .inPlace),
                    .run(milliseconds: 100),
                ]))
        check(
            DeviceScript(
                seed: 1_501_670, devices: 2,
                steps: [
                    .makeDirectory(0, "a"),
                    .makeDirectory(0, "b"),
                    .makeDirectory(0, "a/b"),
                    .write(0, "n.txt", .inPlace),
                    .write(0, "m.txt", .inPlace),
                    .write(0, "a/n.txt", .inPlace),
                    .run(milliseconds: 100),
                    .write(0, "c/m.txt", .inPlace),
                    .rename(0, "m.txt", to: "a/m.txt"),
                    .writeSlowly(1, "c", milliseconds: 634),
                    .write(1, "n.txt", .inPlace),
                    .write(1, "k.bin", .inPlace),
                    .sleep(hours: 1),
                    .write(0, "b/n.txt", .inPlace),
                    .sleep(hours: 1),
                    .offline(1),
                    .write(0, "m.txt", .inPlace),
                    .write(1, "n.txt", .renameOver),
                    .write(0, "k.bin", .unlinkFirst),
                    .write(0, "a/b/a", .inPlace),
                    .cut,
                    .write(0, "c", .renameOver),
                    .clone(0),
                    .run(milliseconds: 5),
                    .write(2, "k.bin", .inPlace),
                    .writeSlowly(0, "n.txt", milliseconds: 488),
                    .write(1, "a/k.bin", .inPlace),
                    .offline(2),
                    .sleep(hours: 12),
                    .write(2, "n.txt", .renameOver),
                    .clone(1),
                    .write(1, "n.txt", .inPlace),
                    .write(3, "m.txt", .inPlace),
                    .cut,
                    .clone(1),
                    .removeTree(0, "a/m.txt"),
                    .run(milliseconds: 3000),
                    .sleep(hours: 1),
                    .write(4, "b/b", .inPlace),
                    .write(0, "a/c/m.txt", .inPlace),
                    .rename(0, "n.txt", to: "a/n.txt"),
                    .clone(2),
                    .cut,
                    .run(milliseconds: 3000),
                    .cut,
                    .sleep(hours: 1),
                    .sleep(hours: 1),
                ]))
    }

    @Test func `what is dead for ever is not named again`() {
        check(
            DeviceScript(
                seed: 1_720_257, devices: 2,
                steps: [
                    .run(milliseconds: 4000),
                    .write(1, "b", .inPlace),
                    .write(1, "c/c/a", .inPlace),
                    .makeDirectory(0, "n.txt"),
                    .write(0, "a/b", .inPlace),
                    .write(0, "b/b", .inPlace),
                    .stage(0, "c"),
                    .backUp(0),
                    .makeDirectory(0, "c"),
                    .writeBinary(0, "c/n.txt", kilobytes: 1),
                    .putBack(0),
                    .sleep(hours: 3000),
                    .removeTree(1, "n.txt"),
                    .run(milliseconds: 60),
                    .stage(0, "b"),
                    .putBack(0),
                    .writeBinary(1, "m.txt", kilobytes: 1),
                    .sleep(hours: 1),
                    .removeTree(0, "n.txt"),
                    .putBack(0),
                    .sleep(hours: 1),
                ]))
    }

    @Test func `a file that others bring back to life stands for itself again`() {
        check(
            DeviceScript(
                seed: 1_500_092, devices: 2,
                steps: [
                    .write(0, "n.txt", .inPlace),
                    .write(0, "m.txt", .inPlace),
                    .write(0, "a/n.txt", .inPlace),
                    .run(milliseconds: 4000),
                    .stage(1, "m.txt"),
                    .writeSlowly(1, "c", milliseconds: 460),
                    .write(1, "m.txt", .inPlace),
                    .cut,
                    .rename(0, "n.txt", to: "k.bin"),
                    .write(0, "m.txt", .inPlace),
                    .offline(0),
                    .open(0, "m.txt"),
                    .write(0, "m.txt", .inPlace),
                    .save(0),
                    .run(milliseconds: 100),
                    .edit(0, "k.bin", 8_600_720),
                    .clone(0),
                    .edit(0, "m.txt", 2_454_201),
                    .stage(1, "a"),
                    .cut,
                    .clone(2),
                    .write(3, "n.txt", .inPlace),
                    .write(3, "m.txt", .inPlace),
                    .run(milliseconds: 5),
                    .offline(2),
                    .clone(2),
                    .run(milliseconds: 100),
                    .cut,
                    .run(milliseconds: 3000),
                    .rebuild(1),
                    .edit(4, "k.bin", 4_195_011),
                    .unlink(3, "k.bin"),
                ]))
    }

    @Test func `what was being written goes on to the file that stands for a gone one`() {
        check(
            DeviceScript(
                seed: 1_710_835, devices: 3,
                steps: [
                    .write(0, "n.txt", .inPlace),
                    .write(0, "a/n.txt", .inPlace),
                    .run(milliseconds: 4000),
                    .sleep(hours: 1),
                    .write(2, "m.txt", .inPlace),
                    .backUp(2),
                    .write(1, "n.txt", .unlinkFirst),
                    .write(0, "a/a", .inPlace),
                    .sleep(hours: 1),
                    .putBack(2),
                    .stage(2, "n.txt"),
                    .stage(2, "n.txt"),
                ]))
    }

    @Test func `a head that waited to be shown is not under a save begun meanwhile`() {
        check(
            DeviceScript(
                seed: 1_500_250, devices: 3,
                steps: [
                    .run(milliseconds: 3000),
                    .write(1, "b", .inPlace),
                    .run(milliseconds: 100),
                    .edit(0, "b", 3_753_185),
                    .writeBinary(2, "a", kilobytes: 8),
                    .rename(2, "a", to: "b"),
                    .run(milliseconds: 100),
                    .writeSlowly(0, "b", milliseconds: 578),
                ]))
    }

    @Test
    func
        `a file that came to a name is not under a save begun before, though written to here meanwhile`()
    {
        check(
            DeviceScript(
                seed: 1_720_155, devices: 3,
                steps: [
                    .sleep(hours: 1),
                    .write(1, "n.txt", .inPlace),
                    .write(2, "b", .inPlace),
                    .clone(2),
                    .sleep(hours: 1),
                    .write(1, "n.txt", .inPlace),
                    .run(milliseconds: 3000),
                    .edit(3, "n.txt", 3_580_753),
                    .edit(1, "n.txt", 11_889_023),
                    .rename(1, "n.txt", to: "k.bin"),
                    .clone(3),
                    .run(milliseconds: 60),
                    .clone(2),
                    .run(milliseconds: 3000),
                    .stage(1, "k.bin"),
                    .rename(5, "k.bin", to: "a"),
                    .writeSlowly(1, "a", milliseconds: 222),
                ]))
    }

    @Test func `a file that came with its directory is not under a save begun before`() {
        check(
            DeviceScript(
                seed: 1_504_451, devices: 4,
                steps: [
                    .run(milliseconds: 3000),
                    .write(3, "b", .inPlace),
                    .run(milliseconds: 3000),
                    .makeDirectory(3, "c"),
                    .makeDirectory(0, "a"),
                    .rename(0, "b", to: "a/n.txt"),
                    .run(milliseconds: 3000),
                    .exchange(1, "c", with: "a"),
                    .writeSlowly(0, "c/n.txt", milliseconds: 647),
                ]))
    }

    @Test func `a save over a version that is another one here is not lost`() {
        check(
            DeviceScript(
                seed: 1_501_061, devices: 3,
                steps: [
                    .write(1, "m.txt", .inPlace),
                    .write(1, "m.txt", .inPlace),
                    .clone(2),
                    .write(3, "a/k.bin", .inPlace),
                    .write(0, "k.bin", .inPlace),
                    .clone(3),
                    .write(0, "b/a", .inPlace),
                    .run(milliseconds: 5),
                    .settle,
                    .write(4, "m.txt", .inPlace),
                    .write(0, "n.txt", .inPlace),
                    .run(milliseconds: 3000),
                    .setMode(4, "k.bin", 393),
                    .write(3, "m.txt", .inPlace),
                    .run(milliseconds: 100),
                    .edit(4, "m.txt", 9_057_106),
                    .run(milliseconds: 100),
                    .write(3, "m.txt", .backup),
                ]))
        check(
            DeviceScript(
                seed: 1_501_725, devices: 3,
                steps: [
                    .makeDirectory(0, "a"),
                    .write(0, "n.txt", .inPlace),
                    .write(0, "m.txt", .inPlace),
                    .clone(2),
                    .stage(0, "m.txt"),
                    .stage(0, "b/a"),
                    .run(milliseconds: 100),
                    .write(3, "c/n.txt", .inPlace),
                    .write(3, "c", .inPlace),
                    .settle,
                    .write(0, "b/a/c", .inPlace),
                    .write(0, "a/n.txt", .inPlace),
                    .run(milliseconds: 500),
                    .write(2, "c/m.txt", .inPlace),
                    .write(0, "c/b/b", .inPlace),
                    .write(3, "c/m.txt", .inPlace),
                    .cut,
                    .run(milliseconds: 100),
                    .cut,
                    .clone(3),
                    .run(milliseconds: 3000),
                    .clone(4),
                    .clone(3),
                    .write(4, "n.txt", .inPlace),
                    .write(3, "a/m.txt", .inPlace),
                    .writeSlowly(6, "b", milliseconds: 436),
                    .edit(3, "n.txt", 2_548_904),
                    .settle,
                    .write(0, "n.txt", .unlinkFirst),
                ]))
    }

    /// A file that others had removed was made again with what it held, which was not here yet and nobody asked for.
    @Test func `what a file held that is made again is fetched`() {
        check(
            DeviceScript(
                seed: 1_883_277, devices: 4,
                steps: [
                    .write(0, "n.txt", .inPlace),
                    .write(0, "m.txt", .inPlace),
                    .clone(3),
                    .run(milliseconds: 3000),
                    .offline(3),
                    .exchange(4, "n.txt", with: "m.txt"),
                    .run(milliseconds: 100),
                    .writeBinary(4, "n.txt", kilobytes: 300),
                    .rename(3, "m.txt", to: "n.txt"),
                    .sleep(hours: 200),
                    .run(milliseconds: 100),
                    .removeTree(2, "n.txt"),
                ]))
    }
}
