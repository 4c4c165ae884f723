import Simulation
import Testing

/// Runs that failed once, made small.
@Suite struct DeviceScriptTests {
    private func check(_ script: DeviceScript) {
        let verdict = DeviceRun.run(script)
        for violation in verdict.violations {
            Issue.record("\(violation.promise): \(violation.detail)")
        }
    }

    @Test func `a block that found no room on the disk is not announced`() {
        check(
            DeviceScript(
                seed: 51, devices: 4,
                steps: [
                    .run(milliseconds: 4000),
                    .fillDisk(3),
                    .write(3, "n.txt", .inPlace),
                    .run(milliseconds: 200),
                    .stop(3, .killed, afterOperations: 0),
                ]))
    }

    @Test func `a full disk keeps nobody from opening a share`() {
        check(
            DeviceScript(
                seed: 87, devices: 2,
                steps: [
                    .run(milliseconds: 4000),
                    .fillDisk(0),
                    .stop(0, .killed, afterOperations: 0),
                    .start(0),
                    .look(0),
                ]))
    }

    @Test func `a save by rename knows its parents after the view was made anew`() {
        check(
            DeviceScript(
                seed: 1, devices: 2, isAlternating: true,
                steps: [
                    .settle,
                    .writeBinary(1, "m.txt", kilobytes: 1),
                    .settle,
                    .writeSame(1, "n.txt"),
                    .settle,
                    .rebuild(1),
                    .rename(1, "n.txt", to: "m.txt"),
                ]))
    }
}
