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
                try pair.alice.check()
            }
        }
    }
}
