import Foundation
import Testing

extension EndToEndTests {
    /// The table of concurrent pairs, through two mounts and by ordinary commands. Of its rows, the two
    /// about members that are revoked are in `EndedMemberTests`.
    struct MergeRowTests {
        @Test func `every row of the table holds between two mounts`() throws {
            try Place.use(.seconds(240)) { place in
                let pair = try Pair(in: place)
                let rows = MergeRow.all.enumerated().map { ("\($0) row \($1.number)", $1) }
                for (folder, row) in rows {
                    try Files.makeFolder(pair.alice.path(folder))
                    try run(row.before, in: folder, on: pair.alice)
                }
                try pair.converge()
                // What was made before a mount is nobody's temporary file.
                for device in pair.both {
                    try device.unmount()
                    try device.mount()
                    try device.pause()
                }
                try part(pair.both, rows.map { ($0, [$1.alice, $1.bob]) })
                for device in pair.both {
                    let conflicts = try conflicts(of: device)
                    for (folder, row) in rows {
                        try expect(row.both, in: folder, on: device)
                        #expect(
                            conflicts[folder] ?? [] == row.conflicts, "\(device.name), \(folder)")
                    }
                    try device.pause()
                }
                let rest = rows.filter { $1.again != nil }
                try part(
                    pair.both, rest.map { ($0, [$1.again?.alice ?? "", $1.again?.bob ?? ""]) })
                for device in pair.both {
                    for (folder, row) in rest {
                        try expect(row.again?.both ?? [], in: folder, on: device)
                    }
                    try device.unmount()
                    try device.check()
                }
            }
        }

        @Test func `three devices that were apart show the same`() throws {
            try Place.use(.seconds(120)) { place in
                let pair = try Pair(in: place)
                let carol = Device("carol", in: place)
                try carol.join(pair.alice.invite())
                let devices = pair.both + [carol]
                try Files.makeFolder(pair.alice.path("d"))
                try run(
                    #"mkdir x y z; put f.txt 1 2 3 4 5; put log a; printf '\0old' >b; put gone 1"#,
                    in: "d", on: pair.alice)
                try Devices.converge(devices)
                for device in devices { try device.pause() }
                // A ring of moves, three edits of a text, three appended lines, three of other bytes.
                let scripts = [("alice", "x", "y"), ("bob", "y", "z"), ("carol", "z", "x")]
                    .map { name, from, to in
                        #"""
                        mv \#(from) \#(to)/; echo \#(name) >>log; printf '\0\#(name)' >b
                        mkdir n; echo \#(name) >new
                        """#
                    }
                let texts = [
                    "put f.txt one 2 3 4 5", "put f.txt 1 2 three 4 5; rm gone",
                    "put f.txt 1 2 3 4 five; put gone 2",
                ]
                try part(devices, [("d", zip(scripts, texts).map { $0 + "; " + $1 })])
                for device in devices {
                    try expect(
                        [
                            "b = \\0carol", "b{alice} = \\0alice", "b{bob} = \\0bob",
                            "f.txt = one|2|three|4|five|", "gone = 2|", "log = a|alice|bob|carol|",
                            "n/", "new = alice|", "new{bob} = bob|", "new{carol} = carol|",
                            "z/y/x/",
                        ], in: "d", on: device)
                    #expect(try conflicts(of: device) == ["d": ["b", "new"]], "\(device.name)")
                    try device.check()
                }
            }
        }

        /// Runs scripts, one device's after the other's, while these are paused, and has them meet.
        private func part(
            _ devices: [Device], _ folders: [(name: String, scripts: [String])]
        ) throws {
            for (index, device) in devices.enumerated() {
                // Later beyond doubt: a version is dated when it is cut, moments after close.
                if index > 0 { usleep(1_500_000) }
                for folder in folders {
                    try run(folder.scripts[index], in: folder.name, on: device)
                }
            }
            for device in devices { try device.resume() }
            try Devices.converge(devices)
        }

        /// What is merged may show moments after all is there.
        private func expect(_ lines: [String], in folder: String, on device: Device) throws {
            var shown: [String] = []
            try wait(.seconds(3), every: .milliseconds(50)) {
                shown = try Self.shown(in: device.path(folder))
                return shown == lines.sorted()
            }
            #expect(shown == lines.sorted(), "\(device.name), \(folder)")
        }

        private func run(_ script: String, in folder: String, on device: Device) throws {
            try device.place.shell(
                #"put() { name=$1; shift; printf '%s\n' "$@" >"$name"; }"# + "\n" + script,
                in: device.path(folder))
        }

        /// The paths that `holdfast conflicts` lists, by the rows' folders.
        private func conflicts(of device: Device) throws -> [String: [String]] {
            struct Listed: Decodable { var path: String }
            let outcome = try device.holdfast("conflicts", device.mountPoint, "--json")
            #expect(outcome.code == 6)
            let listed = try JSONDecoder().decode([Listed].self, from: Data(outcome.output.utf8))
            let paths = listed.map { $0.path.split(separator: "/", maxSplits: 1).map(String.init) }
            return Dictionary(grouping: paths) { $0[0] }.mapValues { $0.map { $0[1] }.sorted() }
        }

        /// What is in a folder, as `MergeRow` writes it.
        private static func shown(in folder: String) throws -> [String] {
            let entries = try TreeListing(of: folder).entries
            let lines = entries.compactMap { path, entry -> String? in
                let name = path.replacing(#/ \(conflict (alice|bob|carol) \d{4}-\d\d-\d\d\)/#) {
                    "{\($0.1)}"
                }
                switch entry.mode & 0o170000 {
                case 0o040000:
                    return entries.keys.contains { $0.hasPrefix(path + "/") } ? nil : name + "/"
                case 0o120000: return "\(name) -> \(String(decoding: entry.target, as: UTF8.self))"
                default:
                    var facts = name
                    let mode = String(entry.mode & 0o7777, radix: 8)
                    if mode != "644" { facts += " " + mode }
                    for (key, value) in entry.extended.sorted(by: { $0.key < $1.key }) {
                        facts += " \(key.dropFirst(5))=\(String(decoding: value, as: UTF8.self))"
                    }
                    let text = String(
                        decoding: Files.read("\(folder)/\(path)") ?? [], as: UTF8.self)
                    return "\(facts) = "
                        + text.replacing("\n", with: "|").replacing("\0", with: #"\0"#)
                }
            }
            return lines.sorted()
        }
    }
}
