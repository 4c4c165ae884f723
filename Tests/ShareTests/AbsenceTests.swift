import Base
import Testing

@testable import Share

/// A device that comes back after two years.
@Suite struct AbsenceTests {
    private static let years = Duration.seconds(2 * 365 * 86_400)

    /// More than goes into an operation.
    private func text(_ changes: [Int: String] = [:]) -> String {
        (0..<2000).map { changes[$0] ?? "line \($0) of many" }.joined(separator: "\n") + "\n"
    }

    /// Much is written, made and removed, for two years, on those who are there.
    private func live(_ devices: ArraySlice<Network.Device>, _ network: Network) throws {
        for season in 0..<8 {
            for device in devices {
                for index in 0..<30 {
                    try device.write("busy\(index)", "\(device.name) \(season) \(index)")
                    try device.write("short\(index)", String(repeating: "x", count: 300))
                    try device.unlink("short\(index)")
                }
                network.run(seconds: 40)
            }
            network.run(seconds: 1800)
            for device in devices { _ = try device.volume.collectChunks() }
            network.disconnectAll()
            network.pass(Self.years / 8)
            for device in devices.dropFirst() { network.connect(device, devices[0]) }
            network.run(seconds: 1800)
            for device in devices { _ = try device.volume.collectChunks() }
        }
    }

    @Test func `who was away for two years comes back safely`() throws {
        let (network, devices) = try Network.forgetfulTrio(seed: 1)
        let (alice, bob, carol) = (devices[0], devices[1], devices[2])
        let files = [
            "both.txt", "same.txt", "gone", "revived", "edited", "thrown away", "renamed",
        ]
        for file in files { try alice.write(file, text()) }
        for directory in ["d", "tree", "tree/below", "x", "y"] { try alice.mkdir(directory) }
        try alice.write("tree/below/f", text())
        network.run(seconds: 120)
        network.disconnectAll()

        try carol.write("both.txt", text([0: "by carol"]))
        try carol.write("same.txt", text([5: "by carol"]))
        try carol.write("revived", "carol's")
        try carol.unlink("edited")
        try carol.unlink("thrown away")
        try carol.rename("renamed", "renamed by carol")
        try carol.write("d/new", "carol's")
        try carol.write("tree/below/made", "carol's")
        try carol.rename("x", "y/x")
        network.run(seconds: 2)
        network.connect(bob, alice)
        try alice.write("both.txt", text([1999: "by alice"]))
        try alice.write("same.txt", text([5: "by alice"]))
        for file in ["gone", "revived", "tree/below/f"] { try alice.unlink(file) }
        try alice.rmdir("tree/below")
        try alice.rmdir("tree")
        try alice.write("edited", "alice's")
        try alice.write("renamed", "alice's")
        try alice.rename("d", "e")
        network.run(seconds: 2)
        try bob.rename("y", "x/y")
        network.run(seconds: 10)
        try live(devices[..<2], network)

        network.connect(carol, bob)
        network.run(seconds: 1800)
        let busy = (0..<30).map { "busy\($0)" }
        for device in devices {
            let status = device.volume.status()
            #expect(status.pending.blocks == 0 && status.pending.chunks == 0, "\(device.name)")
            #expect(status.disagreeing.isEmpty && status.refused == 0)
            #expect(status.digest == alice.volume.status().digest)
            let copy = try #require(device.names().first { $0.hasPrefix("same (conflict carol") })
            #expect(
                try Set(device.names())
                    == Set(
                        busy + [
                            "both.txt", "same.txt", copy, "revived", "edited",
                            "renamed by carol", "e", "tree", "y",
                        ]))
            #expect(try device.text("both.txt") == text([0: "by carol", 1999: "by alice"]))
            #expect(try device.text("same.txt") == text([5: "by alice"]))
            #expect(try device.text(copy) == text([5: "by carol"]))
            #expect(try device.text("revived") == "carol's")
            #expect(try device.text("edited") == "alice's")
            #expect(try device.text("renamed by carol") == "alice's")
            #expect(try device.names("e") == ["new"])
            #expect(try device.names("tree") == ["below"])
            #expect(try device.names("tree/below") == ["made"])
            #expect(try device.names("y") == ["x"])
            for file in busy { #expect(try device.text(file) == "bob 7 \(file.dropFirst(4))") }
            let report = try device.volume.check(scratch: MemoryShareStorage())
            #expect(report.problems.isEmpty, "\(device.name): \(report.problems)")
        }
    }
}
