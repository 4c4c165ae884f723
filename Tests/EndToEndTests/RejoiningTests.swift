import Testing

extension EndToEndTests {
    /// A device whose share takes nothing from it any more goes on as a new one.
    struct RejoiningTests {
        @Test func `what a device alone has is exported, and it joins anew with that`() throws {
            try Place.use(.seconds(120)) { place in
                let pair = try Pair(in: place)
                let (alice, bob) = (pair.alice, pair.bob)
                try bob.write("before", to: "changed")
                try pair.converge()
                try bob.pause()
                try bob.write("not told yet", to: "unsynced")
                try bob.write("bob's", to: "changed")
                let outcome = try alice.holdfast("revoke", "bob", alice.mountPoint)
                #expect(outcome.code == 0, "\(outcome.errors)")
                try bob.resume()
                let isTold = try wait(.seconds(30), every: .milliseconds(100)) {
                    try bob.status().problems.contains { $0.contains("--anew") }
                }
                #expect(isTold)

                let folder = "\(place.path)/exported"
                let listed = try bob.holdfast("export", bob.mountPoint, "--dry-run")
                #expect(listed.code == 0 && listed.output.contains("unsynced"), "\(listed.errors)")
                #expect(Files.read("\(folder)/unsynced") == nil)
                // With the daemon, and without it: there already.
                for count in 0..<2 {
                    if count == 1 { try bob.unmount() }
                    let exported = try bob.holdfast("export", bob.mountPoint, "--to", folder)
                    #expect(exported.code == 0, "\(exported.errors)")
                    #expect(Files.read("\(folder)/unsynced") == Array("not told yet".utf8))
                    #expect(Files.read("\(folder)/changed") == Array("bob's".utf8))
                }
                #expect(try place.shell("ls '\(folder)' | wc -l") == "2\n")

                let again = "\(place.path)/bob again"
                try place.shell("mkdir '\(again)'")
                let joined = try bob.holdfast(
                    "join", "-", again, "--anew", input: alice.invite() + "\n",
                    extra: ["HOLDFAST_LISTEN": "127.0.0.1:\(Machine.freePort())"])
                #expect(joined.code == 0, "\(joined.errors)")
                #expect(Files.read("\(again)/changed") == Array("before".utf8))
                for name in ["unsynced", "changed"] {
                    try place.shell("cp '\(folder)/\(name)' '\(again)/\(name)'")
                }
                let isThere = wait(.seconds(30), every: .milliseconds(100)) {
                    alice.read("unsynced") == Array("not told yet".utf8)
                        && alice.read("changed") == Array("bob's".utf8)
                }
                #expect(isThere)
                #expect(alice.names() == ["changed", "unsynced"])
                for command in ["check", "unmount"] {
                    let outcome = try bob.holdfast(command, again, within: .seconds(60))
                    #expect(outcome.code == 0, "\(outcome.output)\(outcome.errors)")
                }
                try alice.check()
                // The old one is where it was.
                try bob.mount()
                #expect(bob.read("unsynced") == Array("not told yet".utf8))
            }
        }
    }
}
