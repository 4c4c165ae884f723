import Testing

extension EndToEndTests {
    /// Whole trees, as `cp -a` brings them.
    struct CopyTests {
        @Test func `a tree copied into one mount is the same in the other, also after a remount`()
            throws
        {
            try Place.use(Machine.isFull ? .seconds(900) : .seconds(240)) { place in
                let source = place.path + "/source"
                try Fixture.make(
                    source, files: Machine.isFull ? 10_000 : 2000,
                    bytes: Machine.isFull ? 500_000_000 : 60_000_000, in: place)
                let expected = try TreeListing(of: source)
                let pair = try Pair(in: place)
                try place.shell(
                    "cp -a '\(source)' '\(pair.alice.path("tree"))'",
                    within: Machine.isFull ? .seconds(400) : .seconds(120))

                func expectTheTree(on device: Device, _ when: String) throws {
                    let found = try TreeListing(of: device.path("tree"))
                    let differences = found.differences(from: expected).joined(separator: "\n")
                    #expect(differences.isEmpty, "\(device.name), \(when):\n\(differences)")
                }
                try expectTheTree(on: pair.alice, "after the copy")
                try pair.converge(within: Machine.isFull ? .seconds(300) : .seconds(60))
                try expectTheTree(on: pair.bob, "after sync")
                let digest = try pair.bob.status().digest
                #expect(try pair.bob.status().files == UInt64(expected.fileCount))
                #expect(try pair.alice.status().conflicts == 0)

                for device in pair.both { try device.unmount() }
                for device in pair.both { try device.mount() }
                for device in pair.both {
                    #expect(try device.status().digest == digest)
                    try expectTheTree(on: device, "after a remount")
                    try device.check()
                }
            }
        }

        @Test func `a small edit in a large file travels as a small edit`() throws {
            try Place.use(Machine.isFull ? .seconds(600) : .seconds(120)) { place in
                let pair = try Pair(in: place)
                let mebibytes = Machine.isFull ? 1024 : 64
                let large = pair.alice.path("large")
                try place.shell(
                    "head -c \(mebibytes)M /dev/urandom >'\(large)'", within: .seconds(300))
                try pair.converge(within: Machine.isFull ? .seconds(400) : .seconds(60))
                let before = try pair.bob.status().peers
                let edit = [UInt8](repeating: 0x5a, count: 4096)
                let middle = (mebibytes << 19) + 12_345
                try Files.write(edit, to: large, at: middle)
                try pair.converge()
                let after = try pair.bob.status().peers
                try #require(before.count == 1 && after.count == 1)
                let received = after[0].bytesReceived - before[0].bytesReceived
                let sent = after[0].bytesSent - before[0].bytesSent
                #expect(received + sent < 2 << 20, "\(received) bytes received, \(sent) sent")
                #expect(received >= 4096, "random bytes cannot have come in fewer")
                try place.shell(
                    "cmp '\(large)' '\(pair.bob.path("large"))'", within: .seconds(120))
            }
        }
    }
}
