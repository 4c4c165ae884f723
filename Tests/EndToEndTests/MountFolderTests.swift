import CLinux
import Foundation
import Glibc
import Testing

extension EndToEndTests {
    /// What a mount tells of itself, and what is done about conflicts.
    struct MountFolderTests {
        /// Bytes that no text merge applies to.
        private func binary(_ text: String) -> [UInt8] { [0, 1] + Array(text.utf8) }

        /// Both write to each name without knowing of the other, bob later.
        private func part(_ pair: Pair, _ names: [String], base: Bool = true) throws {
            if base { for name in names { try pair.alice.write(binary("base"), to: name) } }
            try pair.converge()
            for device in pair.both { try device.pause() }
            for name in names { try pair.alice.write(binary("by alice"), to: name) }
            usleep(1_500_000)
            for name in names { try pair.bob.write(binary("by bob"), to: name) }
            for device in pair.both { try device.resume() }
            try pair.converge()
        }

        private func attribute(_ name: String, of path: String) -> String? {
            var buffer = [UInt8](repeating: 0, count: 4096)
            let count = getxattr(path, "user.holdfast.\(name)", &buffer, buffer.count)
            return count < 0 ? nil : String(decoding: buffer[..<count], as: UTF8.self)
        }

        @Test func `the mount tells how it is doing, to whoever knows where to look`() throws {
            try Place.use(.seconds(60)) { place in
                let pair = try Pair(in: place)
                try pair.alice.write([1, 2, 3], to: "a")
                try pair.converge()
                for (device, other) in [(pair.alice, "bob"), (pair.bob, "alice")] {
                    #expect(device.names() == ["a"])
                    let folder = device.path(".holdfast")
                    #expect(
                        device.names(in: ".holdfast")
                            == ["conflicts", "peers", "status", "status.json"])
                    let status = try place.shell("cat '\(folder)/status'")
                    #expect(status == (try device.holdfast("status", device.mountPoint)).output)
                    #expect(try place.shell("cat '\(folder)/peers'").contains(other))
                    let json = try #require(device.read(".holdfast/status.json"))
                    let told = try JSONDecoder().decode(Status.self, from: Data(json))
                    #expect(told.digest == (try device.status()).digest)
                    #expect(device.names(in: ".holdfast/conflicts") == [])
                    #expect(attribute("state", of: device.path("a")) == "local")
                    #expect(attribute("writer", of: device.path("a")) == "alice")
                    #expect(attribute("versions", of: device.path("a"))?.hasPrefix("1 ") == true)
                    #expect(attribute("conflict", of: device.path("a")) == nil)
                    #expect(listxattr(device.path("a"), nil, 0) == 0)
                    var facts = statvfs()
                    #expect(statvfs(device.mountPoint, &facts) == 0)
                    var disk = statvfs()
                    #expect(statvfs(device.home, &disk) == 0)
                    let free = UInt64(facts.f_bavail) * 4096
                    let below = UInt64(disk.f_bavail) * UInt64(disk.f_frsize)
                    #expect(free > below / 2 && free < below * 2)
                    #expect(facts.f_blocks - facts.f_bfree == 1)
                    #expect(facts.f_files - facts.f_ffree == 1)
                    #expect(facts.f_namemax == 255)
                }
                try place.shell(
                    "cp -a . '\(place.path)/copy'; [ \"$(ls -A '\(place.path)/copy')\" = a ]",
                    in: pair.alice.mountPoint)
                try place.shell("rm -rf ./* && [ -z \"$(ls -A)\" ]", in: pair.bob.mountPoint)
                try pair.converge()
                #expect(pair.alice.names() == [])
            }
        }

        @Test func `a conflict is listed, readable, told by attributes and settled`() throws {
            try Place.use(.seconds(90)) { place in
                let pair = try Pair(in: place)
                try Files.makeFolder(pair.alice.path("d"))
                try part(pair, ["d/photo.jpg", "d/tool.jpg", "d/both.jpg"])
                for device in pair.both {
                    let outcome = try device.holdfast("conflicts", device.mountPoint, "--json")
                    #expect(outcome.code == 6)
                    let listed = try JSONDecoder().decode(
                        [Listed].self, from: Data(outcome.output.utf8))
                    #expect(listed.map(\.path) == ["d/both.jpg", "d/photo.jpg", "d/tool.jpg"])
                    let versions = listed[1].versions
                    #expect(versions.map(\.device) == ["bob", "alice"])
                    #expect(versions.map(\.shown) == [true, false])
                    for version in versions {
                        let file = try #require(version.file)
                        #expect(device.read(file) == binary("by \(version.device)"))
                        #expect(device.read(try #require(version.path)) == device.read(file))
                        #expect(Files.exists(device.path(file)))
                    }
                    #expect(device.read(try #require(versions[1].base)) == binary("base"))
                    let folder = ".holdfast/conflicts/+d+photo.jpg"
                    let names = device.names(in: folder)
                    #expect(
                        names.count == 4 && names.contains("about") && names.contains("base.jpg"))
                    #expect(try place.shell("cat '\(device.path(folder))/about'").contains("bob"))
                    #expect(attribute("state", of: device.path("d/photo.jpg")) == "conflict")
                    #expect(
                        attribute("conflict", of: device.path("d/photo.jpg")) == versions[1].path)
                    let copy = device.path(try #require(versions[1].path))
                    #expect(attribute("conflict", of: copy) == "d/photo.jpg")
                    #expect(attribute("writer", of: copy) == "alice")
                    let explained = try device.holdfast("explain", device.path("d/photo.jpg"))
                    #expect(explained.output.contains(versions[1].id))
                    #expect(explained.code == 0)
                }
                let open = try FileHandleReader(pair.bob.path("d/photo.jpg"))
                let kept = try pair.alice.holdfast(
                    "resolve", pair.alice.path("d/photo.jpg"), "--keep", "ours")
                #expect(kept.code == 0, "\(kept.errors)")
                #expect(pair.alice.read("d/photo.jpg") == binary("by alice"))
                let merged = try pair.bob.holdfast(
                    "resolve", pair.bob.path("d/tool.jpg"), "--tool",
                    #"cat "$BASE" "$MINE" "$THEIRS" >"$RESULT""#)
                #expect(merged.code == 0, "\(merged.errors)")
                let both = try pair.bob.holdfast(
                    "resolve", pair.bob.path("d/both.jpg"), "--keep", "both")
                #expect(both.code == 0, "\(both.errors)")
                try pair.converge()
                for device in pair.both {
                    #expect(device.read("d/photo.jpg") == binary("by alice"))
                    #expect(
                        device.read("d/tool.jpg")
                            == binary("base") + binary("by bob") + binary("by alice"))
                    #expect(device.read("d/both.jpg") == binary("by bob"))
                    #expect(device.names(in: "d").count == 4, "\(device.names(in: "d"))")
                    #expect(try device.holdfast("conflicts", device.mountPoint).code == 0)
                    #expect(device.names(in: ".holdfast/conflicts") == [])
                    #expect(attribute("state", of: device.path("d/photo.jpg")) == "local")
                    try device.check()
                }
                #expect(open.read() == String(decoding: binary("by alice"), as: UTF8.self))
                let again = try pair.alice.holdfast(
                    "resolve", pair.alice.path("d/photo.jpg"), "--keep", "ours")
                #expect(again.code == 3)
            }
        }

        @Test func `losers in a git folder are reached through the mount's folder alone`() throws {
            try Place.use(.seconds(60)) { place in
                let pair = try Pair(in: place)
                for folder in [".git", ".git/refs"] {
                    try Files.makeFolder(pair.alice.path(folder))
                }
                try pair.alice.write([1], to: "app.db-wal")
                try part(pair, [".git/refs/main", "app.db"])
                for device in pair.both {
                    #expect(device.names() == [".git", "app.db", "app.db-wal"])
                    #expect(device.names(in: ".git/refs") == ["main"])
                    #expect(
                        device.names(in: ".holdfast/conflicts") == ["+.git+refs+main", "+app.db"])
                    let found = try place.shell(
                        "cat '\(device.path(".holdfast/conflicts"))'/+.git+refs+main/alice*")
                    #expect(Array(found.utf8) == binary("by alice"))
                }
                let refused = try pair.bob.holdfast(
                    "resolve", pair.bob.path("app.db"), "--keep", "both")
                #expect(refused.code == 6)
                for (device, path) in [(pair.bob, "app.db"), (pair.alice, ".git/refs/main")] {
                    #expect(
                        try device.holdfast("resolve", device.path(path), "--keep", "theirs").code
                            == 0)
                }
                try pair.converge()
                for device in pair.both {
                    #expect(device.read("app.db") == binary("by alice"))
                    #expect(device.read(".git/refs/main") == binary("by bob"))
                    #expect(try device.status().conflicts == 0)
                }
            }
        }

        private struct Listed: Decodable {
            struct Version: Decodable {
                var id: String
                var device: String
                var shown: Bool
                var path: String?
                var file: String?
                var base: String?
            }
            var path: String
            var versions: [Version]
        }
    }
}
