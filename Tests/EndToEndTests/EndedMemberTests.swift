import Foundation
import Testing

extension EndToEndTests {
    /// Members that an owner revokes or retires.
    struct EndedMemberTests {
        @Test(arguments: ["revoke", "retire"])
        func `what a device writes once its membership has ended stays on it alone`(
            _ command: String
        )
            throws
        {
            try Place.use(.seconds(90)) { place in
                let pair = try Pair(in: place)
                try pair.bob.write("before", to: "before")
                try pair.converge()
                try pair.bob.pause()
                try pair.bob.write("not told yet", to: "unsynced")
                let outcome = try pair.alice.holdfast(command, "bob", pair.alice.mountPoint)
                #expect(outcome.code == 0, "\(outcome.errors)")
                let again = try pair.alice.holdfast(command, "bob", pair.alice.mountPoint)
                #expect(again.code == 2)
                #expect(try pair.bob.holdfast("retire", "alice", pair.bob.mountPoint).code == 8)
                try pair.bob.resume()
                try pair.alice.write("after", to: "after")
                let word = command + "d"
                let isTold = try wait(.seconds(30), every: .milliseconds(100)) {
                    try pair.bob.holdfast("status", pair.bob.mountPoint).output.contains(word)
                }
                #expect(isTold)
                #expect(pair.alice.read("before") == Array("before".utf8))
                #expect(!pair.alice.names().contains("unsynced"))
                #expect(pair.bob.read("unsynced") == Array("not told yet".utf8))
                try pair.bob.write("still", to: "still written")
                #expect(pair.bob.read("still written") == Array("still".utf8))
                let peers = try pair.alice.holdfast("status", pair.alice.mountPoint).output
                #expect(peers.contains(word))
                try pair.bob.unmount()
                try pair.bob.mount()
                #expect(pair.bob.read("still written") == Array("still".utf8))
                #expect(!pair.alice.names().contains("still written"))
                // It can be had where it is.
                let kept = try export(from: pair.bob)
                #expect(Files.read("\(kept)/unsynced") == Array("not told yet".utf8))
                #expect(Files.read("\(kept)/still written") == Array("still".utf8))
                try pair.alice.check()
            }
        }

        private func export(from device: Device) throws -> String {
            let folder = "\(device.place.path)/exported by \(device.name)"
            let outcome = try device.holdfast("export", device.mountPoint, "--to", folder)
            #expect(outcome.code == 0, "\(outcome.errors)")
            return folder
        }

        @Test func `of two owners who revoke each other the one admitted earlier stays`() throws {
            try Place.use(.seconds(90)) { place in
                let devices = ["alice", "bob", "carol"].map { Device($0, in: place) }
                let (alice, bob, carol) = (devices[0], devices[1], devices[2])
                try alice.create()
                try bob.join(alice.holdfast("invite", alice.mountPoint, "--owner").lastLine)
                try carol.join(bob.invite())
                try alice.write("base", to: "base")
                try Devices.converge(devices)
                for device in [alice, bob] { try device.pause() }
                for (device, other) in [(bob, "alice"), (alice, "bob")] {
                    try device.write("before", to: "before, by \(device.name)")
                    let outcome = try device.holdfast("revoke", other, device.mountPoint)
                    #expect(outcome.code == 0, "\(outcome.errors)")
                    try device.write("after", to: "after, by \(device.name)")
                    // Bob was first, by the clock: that does not count.
                    usleep(1_100_000)
                }
                for device in [alice, bob] { try device.resume() }
                let isTold = try wait(.seconds(30), every: .milliseconds(100)) {
                    try bob.holdfast("status", bob.mountPoint).output.contains("revoked")
                        && carol.holdfast("status", carol.mountPoint).output.contains("revoked")
                }
                #expect(isTold)
                try Devices.converge([alice, carol])
                for device in [alice, carol] {
                    #expect(device.names() == ["after, by alice", "base", "before, by alice"])
                    let status = try device.holdfast("status", device.mountPoint).output
                    #expect(status.contains("bob is revoked"))
                }
                #expect(bob.read("after, by bob") == Array("after".utf8))
                #expect(bob.read("after, by alice") == Array("after".utf8))
                // What came of him, and does not count, can be had here too.
                let kept = try export(from: alice)
                #expect(Files.read("\(kept)/after, by bob") == Array("after".utf8))
                try alice.unmount()
                try alice.check()
            }
        }
    }
}
