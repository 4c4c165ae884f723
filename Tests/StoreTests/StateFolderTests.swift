import Base
import Crypto
import Foundation
import Store
import Testing

@Suite struct StateFolderTests {
    private let directory = TemporaryDirectory()
    private var root: String { directory.file("state/holdfast") }

    private func mode(_ path: String) throws -> Int {
        let attributes = try FileManager.default.attributesOfItem(atPath: path)
        return (attributes[.posixPermissions] as? Int) ?? -1
    }

    @Test func `the folder is where the environment says`() throws {
        #expect(
            try StateFolder.path(environment: ["HOLDFAST_HOME": "/a//b/", "HOME": "/h"]) == "/a/b")
        #expect(
            try StateFolder.path(environment: ["XDG_DATA_HOME": "/x", "HOME": "/h"])
                == "/x/holdfast")
        #expect(
            try StateFolder.path(environment: ["XDG_DATA_HOME": "x", "HOME": "/h"])
                == "/h/.local/share/holdfast")
        #expect(throws: StateError.noHome) { try StateFolder.path(environment: [:]) }
        #expect(throws: StateError.noHome) {
            try StateFolder.path(environment: ["HOLDFAST_HOME": "here", "HOME": "/h"])
        }
    }

    @Test func `a device's key is made once, and nobody else can read it`() throws {
        var random = SeededRandom(seed: 1)
        let folder = try StateFolder(path: root)
        #expect(try folder.device() == nil)
        let made = try folder.makeDevice(named: "büro", using: &random)
        let found = try #require(try StateFolder(path: root).device())
        #expect(found.keyPair.publicKey == made.keyPair.publicKey)
        #expect(found.name == "büro")
        #expect(try mode(root) == 0o700)
        #expect(try mode("\(root)/device.key") == 0o600)
        #expect(throws: StateError.exists(file: "\(root)/device.key")) {
            try folder.makeDevice(named: "other", using: &random)
        }
        #expect(try folder.device()?.keyPair.publicKey == made.keyPair.publicKey)
        try folder.setDeviceName("attic")
        #expect(try folder.device()?.name == "attic")
    }

    @Test func `a key that others can read or that is no key is refused by name`() throws {
        var random = SeededRandom(seed: 1)
        let folder = try StateFolder(path: root)
        _ = try folder.makeDevice(named: "d", using: &random)
        let file = "\(root)/device.key"
        try FileManager.default.setAttributes([.posixPermissions: 0o644], ofItemAtPath: file)
        #expect(throws: StateError.exposed(file: file)) { try folder.device() }
        try FileManager.default.setAttributes([.posixPermissions: 0o600], ofItemAtPath: file)
        for text in [
            "", "12", String(repeating: "g", count: 64), String(repeating: "1", count: 66),
        ] {
            try Data(text.utf8).write(to: URL(fileURLWithPath: file))
            #expect { try folder.device() } throws: {
                let text = "\($0)"
                return text.contains(file) && text.contains("backup")
            }
        }
        try FileManager.default.removeItem(atPath: file)
        try FileManager.default.createSymbolicLink(
            atPath: file, withDestinationPath: "/etc/hostname")
        #expect(throws: StateError.self) { try folder.device() }
    }

    @Test func `a share is made, found again by id and by mount point, and removed`() throws {
        let folder = try StateFolder(path: root)
        var settings = ShareSettings(name: "photos", mountPoint: "/home/me/photos")
        settings.policies = ["/raw": .demand]
        let key = Bytes32(repeating: 9)
        let made = try folder.makeShare("aa11", key: key, settings: settings)
        _ = try folder.makeShare(
            "bb22", key: .zero, settings: ShareSettings(name: "b", mountPoint: "/home/me"))

        #expect(try folder.shares().map(\.id) == ["aa11", "bb22"])
        #expect(try folder.share("aa11").settings() == settings)
        #expect(try folder.share("aa11").key() == key)
        #expect(try folder.share(mountedAt: "/home/me/photos/2024/x")?.id == "aa11")
        #expect(try folder.share(mountedAt: "/home/me/photos2")?.id == "bb22")
        #expect(try folder.share(mountedAt: "/home/me/./photos/../photos/")?.id == "aa11")
        #expect(try folder.share(mountedAt: "/home") == nil)
        #expect(throws: StateError.exists(file: "\(root)/shares/aa11")) {
            try folder.makeShare("aa11", key: .zero, settings: settings)
        }
        #expect(try made.key() == key)
        for name in ["", "/share.key", "/share.json"].dropFirst() {
            #expect(try mode(made.path + name) == 0o600)
        }
        #expect(try mode(made.path) == 0o700)
        for id in ["zz", "..", "", "aa11/../bb22"] {
            #expect(throws: StateError.self) { try folder.share(id) }
        }

        _ = try made.openDatabase()
        _ = try made.openPacks()
        _ = try made.openStaging().create()
        try made.remove(made.lock())
        #expect(try folder.shares().map(\.id) == ["bb22"])
        #expect(try FileManager.default.contentsOfDirectory(atPath: "\(root)/shares") == ["bb22"])
    }

    @Test func `settings that were broken by hand are named, and others still found`() throws {
        let folder = try StateFolder(path: root)
        let broken = try folder.makeShare(
            "aa", key: .zero, settings: ShareSettings(name: "a", mountPoint: "/a"))
        _ = try folder.makeShare(
            "bb", key: .zero, settings: ShareSettings(name: "b", mountPoint: "/b"))
        let file = "\(broken.path)/share.json"
        let cases = [
            ("{", "not the JSON"), ("{}", "\"name\" is missing"),
            (#"{"name": 5}"#, "\"name\" is wrong"),
            (#"{"name": "a", "policies": {"/": "sometimes"}}"#, "wrong"),
        ]
        for (text, problem) in cases {
            try Data(text.utf8).write(to: URL(fileURLWithPath: file))
            #expect { try broken.settings() } throws: { error in
                "\(error)".contains(file) && "\(error)".contains(problem)
            }
        }
        #expect(try folder.share(mountedAt: "/b/c")?.id == "bb")
        #expect(throws: StateError.self) { try folder.share(mountedAt: "/a") }
        try Data(#"{"name": "old", "unknown": [1]}"#.utf8).write(to: URL(fileURLWithPath: file))
        #expect(try broken.settings() == ShareSettings(name: "old"))
        try FileManager.default.removeItem(atPath: file)
        #expect { try broken.settings() } throws: { "\($0)".contains("share.json is missing") }
        try FileManager.default.removeItem(atPath: "\(broken.path)/share.key")
        #expect { try broken.key() } throws: { "\($0)".contains("share.key is missing") }
    }

    @Test func `one process at a time has a share, and the error names it`() throws {
        let folder = try StateFolder(path: root)
        let share = try folder.makeShare("aa", key: .zero, settings: ShareSettings(name: "a"))
        do {
            let lock = try share.lock()
            #expect(
                throws: StateError.inUse(
                    folder: share.path, process: ProcessInfo.processInfo.processIdentifier)
            ) {
                _ = try share.lock()
            }
            _ = consume lock
        }
        _ = try share.lock()
    }

    @Test func `a share that a crash left half made is made again`() throws {
        let folder = try StateFolder(path: root)
        _ = try folder.shares()
        let leftover = "\(root)/shares/aa.new"
        try FileManager.default.createDirectory(
            atPath: leftover, withIntermediateDirectories: true)
        try Data("x".utf8).write(to: URL(fileURLWithPath: "\(leftover)/share.key"))
        #expect(try folder.shares().isEmpty)
        let share = try folder.makeShare("aa", key: .zero, settings: ShareSettings(name: "a"))
        #expect(try share.key() == .zero)
    }

    @Test func `the way to peers is kept, bounded when read, and told if damaged`() throws {
        let folder = try StateFolder(path: root)
        let share = try folder.makeShare("aa11", key: .zero, settings: ShareSettings(name: "a"))
        #expect(try share.knownNetwork() == nil)
        let known = KnownNetwork(
            bootstrap: ["10.0.0.1:1"], nodes: ["10.0.0.2:2"],
            peers: [KnownNetwork.Peer(key: "ab", addresses: ["10.0.0.3:3"])],
            addresses: ["host:4"])
        try share.setKnownNetwork(known)
        #expect(try share.knownNetwork() == known)
        #expect(try mode("\(share.path)/network.json") == 0o600)
        let many = KnownNetwork(
            bootstrap: [], nodes: Array(repeating: "n:1", count: 1000),
            peers: Array(
                repeating: KnownNetwork.Peer(
                    key: "cd", addresses: Array(repeating: "p:1", count: 50)), count: 1000),
            addresses: Array(repeating: "a:1", count: 1000))
        let bytes = try JSONEncoder().encode(many)
        try bytes.write(to: URL(fileURLWithPath: "\(share.path)/network.json"))
        let read = try #require(try share.knownNetwork())
        #expect(read.nodes.count == 64 && read.peers.count == 64 && read.addresses.count == 16)
        #expect(read.peers.allSatisfy { $0.addresses.count == 4 })
        for damage in ["", "{", "[]", "{\"nodes\": 4}", String(repeating: "x", count: 2 << 20)] {
            try Data(damage.utf8).write(to: URL(fileURLWithPath: "\(share.path)/network.json"))
            #expect { try share.knownNetwork() } throws: { "\($0)".contains("network.json") }
        }
        try share.setKnownNetwork(known)
        #expect(try share.knownNetwork() == known)
    }
}
