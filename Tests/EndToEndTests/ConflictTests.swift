import Base
import Foundation
import Glibc
import Testing

extension EndToEndTests {
    /// Edits that do not know of each other.
    struct ConflictTests {
        /// Bytes that no text merge applies to.
        private func binary(_ text: String) -> [UInt8] { [0, 1] + Array(text.utf8) }

        /// Half of the edits are written in place, half renamed over, as programs do either.
        private func edit(_ device: Device, _ name: String, _ bytes: [UInt8], _ index: Int) throws {
            if index % 2 == 0 {
                try device.write(bytes, to: name)
            } else {
                try Files.save(bytes, over: device.path(name))
            }
        }

        private func copyName(
            _ stem: String, _ fileExtension: String, of device: String, _ day: String
        )
            -> String
        {
            "\(stem) (conflict \(device) \(day)).\(fileExtension)"
        }

        /// The dates that an operation of the last minutes may carry.
        private func days() -> [String] {
            let formatter = DateFormatter()
            formatter.locale = Locale(identifier: "en_US_POSIX")
            formatter.timeZone = TimeZone(identifier: "UTC")
            formatter.dateFormat = "yyyy-MM-dd"
            return [Date(), Date(timeIntervalSinceNow: -600)].map { formatter.string(from: $0) }
        }

        @Test func `of two concurrent edits the later is shown and the earlier is a copy`() throws {
            try Place.use(.seconds(90)) { place in
                let pair = try Pair(in: place)
                try pair.alice.write(binary("base"), to: "photo.jpg")
                try pair.alice.write(binary("base"), to: "other.jpg")
                try pair.converge()
                for device in pair.both { try device.pause() }
                for name in ["photo.jpg", "other.jpg"] {
                    try pair.alice.write(binary("by alice"), to: name)
                    // Later beyond doubt: a version is dated when it is cut, moments after close.
                    usleep(1_500_000)
                    try pair.bob.write(binary("by bob"), to: name)
                }
                for device in pair.both { try device.resume() }
                try pair.converge()

                let copies = days().map { copyName("photo", "jpg", of: "alice", $0) }
                for device in pair.both {
                    #expect(device.read("photo.jpg") == binary("by bob"))
                    let copy = device.names().first { copies.contains($0) }
                    #expect(copy.flatMap { device.read($0) } == binary("by alice"))
                    #expect(device.names().count == 4, "\(device.names())")
                    #expect(try device.status().conflicts == 2)
                }
                // A save of the winner does not bury the copy.
                try pair.alice.write(binary("more by alice"), to: "photo.jpg")
                try pair.converge()
                let copy = try #require(pair.bob.names().first { copies.contains($0) })
                #expect(pair.bob.read(copy) == binary("by alice"))
                // Removing it closes it for everybody.
                try Files.remove(pair.bob.path(copy))
                try pair.converge()
                #expect(!pair.alice.names().contains(copy))
                #expect(pair.alice.read("photo.jpg") == binary("more by alice"))
                // A copy that is edited becomes a file of its own, under the name it showed.
                let second = try #require(pair.alice.names().first { $0.hasPrefix("other (") })
                try pair.alice.write(binary("a file now"), to: second)
                try pair.converge()
                for device in pair.both {
                    #expect(device.read(second) == binary("a file now"))
                    #expect(device.read("other.jpg") == binary("by bob"))
                    #expect(try device.status().conflicts == 0)
                }
            }
        }

        @Test func `texts are merged: apart, at one place, and not where they overlap`() throws {
            try Place.use(.seconds(90)) { place in
                let pair = try Pair(in: place)
                func text(_ changes: [Int: String] = [:], lines: Int = 9) -> String {
                    (0..<lines).map { changes[$0] ?? "line \($0)" }.joined(separator: "\n") + "\n"
                }
                let names = [
                    "apart.swift", "log.md", "list.json", "same.txt", "cut.txt", "over.txt",
                ]
                for name in names { try pair.alice.write(text(), to: name) }
                try pair.alice.write(text(lines: 30_000), to: "large.txt")
                try pair.converge()
                for device in pair.both { try device.pause() }
                try pair.alice.write(text([0: "alice"]), to: "apart.swift")
                try pair.alice.write(text() + "alice\n", to: "log.md")
                try pair.alice.write(text() + "alice\n", to: "list.json")
                try pair.alice.write(text([3: "both"]), to: "same.txt")
                truncate(pair.alice.path("cut.txt"), 0)
                try Files.save(Array(text([0: "alice"]).utf8), over: pair.alice.path("over.txt"))
                try pair.alice.write(text([5: "alice"], lines: 30_000), to: "large.txt")
                usleep(1_500_000)
                try pair.bob.write(text([8: "bob"]), to: "apart.swift")
                try pair.bob.write(text() + "bob\n", to: "log.md")
                try pair.bob.write(text() + "bob\n", to: "list.json")
                try pair.bob.write(text([3: "both", 8: "bob"]), to: "same.txt")
                try pair.bob.write(text([3: "bob"]), to: "cut.txt")
                try Files.save(Array(text([8: "bob"]).utf8), over: pair.bob.path("over.txt"))
                try pair.bob.write(text([29_000: "bob"], lines: 30_000), to: "large.txt")
                for device in pair.both { try device.resume() }
                try pair.converge()
                let large = Array(text([5: "alice", 29_000: "bob"], lines: 30_000).utf8)
                for device in pair.both {
                    wait(.seconds(10)) { device.read("large.txt") == large }
                    #expect(device.read("large.txt") == large)
                    func shows(_ name: String) -> String {
                        String(decoding: device.read(name) ?? [], as: UTF8.self)
                    }
                    #expect(shows("apart.swift") == text([0: "alice", 8: "bob"]))
                    #expect(shows("over.txt") == text([0: "alice", 8: "bob"]))
                    #expect(shows("log.md") == text() + "alice\nbob\n")
                    #expect(shows("same.txt") == text([3: "both", 8: "bob"]))
                    #expect(shows("list.json") == text() + "bob\n")
                    #expect(shows("cut.txt") == text([3: "bob"]))
                    #expect(device.names().count == 9, "\(device.names())")
                    #expect(try device.status().conflicts == 2)
                }
                // The next save succeeds both.
                try pair.bob.write(text([0: "alice", 8: "bob", 4: "more"]), to: "apart.swift")
                try pair.converge()
                #expect(
                    pair.alice.read("apart.swift")
                        == Array(text([0: "alice", 8: "bob", 4: "more"]).utf8))
                try pair.alice.unmount()
                try pair.alice.check()
            }
        }

        @Test
        func `a hundred edits each while apart: nothing is lost, conflicts only where they are`()
            throws
        {
            try Place.use(.seconds(150)) { place in
                let pair = try Pair(in: place)
                try makeBase(pair)
                try pair.converge()
                for device in pair.both { try device.pause() }
                var written: [[UInt8]] = []
                try editAlice(pair.alice, &written)
                usleep(1_500_000)
                try editBob(pair.bob, &written)
                for device in pair.both { try device.resume() }
                try pair.converge(within: .seconds(60))
                for device in pair.both { try expectMerged(device, written) }
            }
        }

        @Test func `a folder that both made is one, also for who stands in it`() throws {
            try Place.use(.seconds(60)) { place in
                let pair = try Pair(in: place)
                for device in pair.both { try device.pause() }
                var inside: [Int32] = []
                defer { for descriptor in inside { close(descriptor) } }
                for device in pair.both {
                    try Files.makeFolder(device.path("docs"))
                    try device.write("of \(device.name)", to: "docs/\(device.name)")
                    let descriptor = open(device.path("docs"), O_RDONLY | O_DIRECTORY)
                    try #require(descriptor >= 0)
                    inside.append(descriptor)
                }
                for device in pair.both { try device.resume() }
                try pair.converge()
                for (device, descriptor) in zip(pair.both, inside) {
                    for other in ["alice", "bob"] {
                        #expect(faccessat(descriptor, other, R_OK, 0) == 0, "\(device.name)")
                    }
                    let made = openat(descriptor, "later \(device.name)", O_CREAT | O_WRONLY, 0o644)
                    #expect(made >= 0, "\(device.name): errno \(errno)")
                    close(made)
                    #expect(
                        renameat(descriptor, device.name, descriptor, "old \(device.name)") == 0)
                }
                try pair.converge()
                for device in pair.both {
                    #expect(
                        device.names(in: "docs").sorted() == [
                            "later alice", "later bob", "old alice", "old bob",
                        ])
                    #expect(device.names() == ["docs"])
                }
            }
        }

        // The names say what happens to a file: `both` is written by both, and so on.

        private func makeBase(_ pair: Pair) throws {
            for index in 0..<20 {
                try pair.alice.write(binary("base \(index)"), to: "both \(index).bin")
                try pair.alice.write(binary("base \(index)"), to: "old of alice \(index).bin")
                try pair.alice.write(binary("base \(index)"), to: "old of bob \(index).bin")
            }
            for index in 0..<5 {
                for kind in ["edit or delete", "delete", "rename", "chmod"] {
                    try pair.alice.write(binary("base \(index)"), to: "\(kind) \(index).bin")
                }
            }
        }

        private func editAlice(_ alice: Device, _ written: inout [[UInt8]]) throws {
            func edit(_ name: String, _ index: Int) throws {
                let bytes = binary("alice wrote \(name)")
                try self.edit(alice, name, bytes, index)
                written.append(bytes)
            }
            for index in 0..<20 {
                try edit("both \(index).bin", index)
                try edit("old of alice \(index).bin", index)
                try edit("new of alice \(index).bin", index)
            }
            for index in 0..<10 { try edit("new \(index).bin", index) }
            for index in 0..<5 {
                try edit("edit or delete \(index).bin", index)
                try Files.remove(alice.path("delete \(index).bin"))
                try Files.rename(
                    alice.path("rename \(index).bin"), to: alice.path("renamed \(index).bin"))
                chmod(alice.path("chmod \(index).bin"), 0o600)
                try self.edit(alice, "same \(index).bin", binary("the same \(index)"), index)
                try Files.makeFolder(alice.path("folder \(index)"))
                try edit("folder \(index)/by alice", index)
            }
        }

        private func editBob(_ bob: Device, _ written: inout [[UInt8]]) throws {
            func edit(_ name: String, _ index: Int) throws {
                let bytes = binary("bob wrote \(name)")
                try self.edit(bob, name, bytes, index)
                written.append(bytes)
            }
            for index in 0..<20 {
                try edit("both \(index).bin", index)
                try edit("old of bob \(index).bin", index)
                try edit("new of bob \(index).bin", index)
            }
            for index in 0..<10 { try edit("new \(index).bin", index) }
            for index in 0..<5 {
                try Files.remove(bob.path("edit or delete \(index).bin"))
                try Files.remove(bob.path("delete \(index).bin"))
                try edit("rename \(index).bin", index)
                try edit("chmod \(index).bin", index)
                try self.edit(bob, "same \(index).bin", binary("the same \(index)"), index + 1)
                try Files.makeFolder(bob.path("folder \(index)"))
                try edit("folder \(index)/by bob", index)
            }
        }

        private func expectMerged(_ device: Device, _ written: [[UInt8]]) throws {
            var expected: [String: [UInt8]] = [:]
            func expect(_ name: String, by writer: String, as shown: String? = nil) {
                expected[shown ?? name] = binary("\(writer) wrote \(name)")
            }
            let today = days()
            func copy(_ stem: String, of writer: String) -> String {
                let names = today.map { copyName(stem, "bin", of: writer, $0) }
                return names.first { device.names().contains($0) } ?? names[0]
            }
            for index in 0..<20 {
                expect("both \(index).bin", by: "bob")
                expect("both \(index).bin", by: "alice", as: copy("both \(index)", of: "alice"))
                for writer in ["alice", "bob"] {
                    expect("old of \(writer) \(index).bin", by: writer)
                    expect("new of \(writer) \(index).bin", by: writer)
                }
            }
            for index in 0..<10 {
                expect("new \(index).bin", by: "alice")
                expect("new \(index).bin", by: "bob", as: copy("new \(index)", of: "bob"))
            }
            for index in 0..<5 {
                expect("edit or delete \(index).bin", by: "alice")
                expect("rename \(index).bin", by: "bob", as: "renamed \(index).bin")
                expect("chmod \(index).bin", by: "bob")
                expected["same \(index).bin"] = binary("the same \(index)")
                for writer in ["alice", "bob"] {
                    expect("folder \(index)/by \(writer)", by: writer)
                }
                var facts = stat()
                lstat(device.path("chmod \(index).bin"), &facts)
                #expect(facts.st_mode & 0o777 == 0o600, "\(device.name), chmod \(index)")
            }
            let names =
                device.names().filter { !$0.hasPrefix("folder ") }
                + (0..<5).flatMap { index in
                    device.names(in: "folder \(index)").map { "folder \(index)/\($0)" }
                }
            #expect(
                Set(names) == Set(expected.keys),
                """
                \(device.name): too many: \(Set(names).subtracting(expected.keys).sorted()), \
                missing: \(Set(expected.keys).subtracting(names).sorted())
                """)
            for (name, bytes) in expected {
                #expect(device.read(name) == bytes, "\(device.name): \(name)")
            }
            let all = Set(names.compactMap { device.read($0) })
            #expect(written.allSatisfy { all.contains($0) }, "\(device.name) lost bytes")
            #expect(try device.status().conflicts == 30)
        }
    }
}
