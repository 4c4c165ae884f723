import Base
import Glibc
import Share
import Synchronization
import Testing

@testable import FuseMount

/// What programs here do to names between the plan of a replay and its calls: they know of the other device's change
/// already, and the kernel does not.
@Suite(.enabled(if: canMount), .serialized)
struct OvertakenReplayTests {
    /// Has a program work when the plan of the next replay asks what stands under a name.
    private func whenPlanned(
        _ name: String, in mount: TestMount, _ program: @escaping @Sendable () throws -> Void
    ) -> Latch {
        let done = Latch()
        mount.volume.state.withLock { state in
            state.afterLookup = { [volume = mount.volume] looked in
                guard looked == Array(name.utf8) else { return }
                volume.state.withLock { $0.afterLookup = nil }
                try? startThread(name: "program") {
                    try? program()
                    done.open()
                }
                done.wait()
            }
        }
        return done
    }

    /// The mount shows what the volume has, by listing and by name.
    private func expectAgreement(_ mount: TestMount, of probes: [String]) throws {
        while !mount.mount.awaitShown() {}
        // A listing would correct what the kernel has.
        for name in probes {
            let number = (try? status(mount.at(name))).map { UInt64($0.st_ino) }
            let shown = try? mount.volume.lookup(Array(name.utf8), in: .root)
            #expect(number == shown?.number.rawValue, "\(name)")
            guard let shown, shown.kind == .directory else { continue }
            // A directory that the kernel takes for removed takes nothing.
            try check(mkdir(mount.at(name + "/new"), 0o755))
        }
        let listed = try mount.volume.list(.root).map { String(decoding: $0.name, as: UTF8.self) }
        #expect(try names(mount.path) == listed)
    }

    @Test(arguments: ["exchange", "move", "rename", "remove"])
    func `what a program did to a name stays`(_ call: String) throws {
        let mount = try TestMount()
        defer { mount.end() }
        for name in ["a", "b"] { try writeFile(mount.at(name), Array(name.utf8)) }
        mount.settle()
        if call != "exchange" { try check(unlink(mount.at("b"))) }
        let watcher = try Watcher(mount.path, in: mount)
        let (a, b, c) = (mount.at("a"), mount.at("b"), mount.at("c"))
        let done = whenPlanned(call == "remove" ? "a" : "b", in: mount) {
            switch call {
            case "exchange": try check(Glibc.rename(a, c))
            case "move": try check(unlink(b))
            case "rename": try check(Glibc.rename(b, c))
            default:
                // For the kernel it is there until somebody wants it gone.
                unlink(a)
                try writeFile(a, [3])
            }
        }
        switch call {
        case "exchange": try mount.volume.renameRemotely("a", "b", .exchange)
        case "remove": try mount.volume.removeRemotely("a")
        default: try mount.volume.renameRemotely("a", "b")
        }
        done.wait()
        try expectAgreement(mount, of: ["a", "b", "c"])
        let names = try names(mount.path)
        switch call {
        case "exchange": #expect(names == ["b", "c"])
        case "move": #expect(names == [])
        case "rename": #expect(names == ["c"])
        default:
            #expect(names == ["a"])
            // It is the program's: nobody may hear that it is gone.
            let events = watcher.events()
            #expect(events.last { !$0.hasPrefix("close") } != "delete a", "\(events)")
        }
    }

    @Test(arguments: ["a", "c"])
    func `a directory takes the name of one that has moved on`(_ planned: String) throws {
        let mount = try TestMount()
        defer { mount.end() }
        for name in ["a", "b"] { try check(mkdir(mount.at(name), 0o755)) }
        // The kernel has both in use.
        let held = try ["a", "b"].map { try check(open(mount.at($0), O_RDONLY)) }
        defer { for file in held { close(file) } }
        let (a, b) = (mount.at("a"), mount.at("b"))
        let watcher = try Watcher(mount.path, in: mount)
        let done = whenPlanned(planned, in: mount) { try check(Glibc.rename(b, a)) }
        try mount.volume.renameRemotely("a", "c")
        done.wait()
        try expectAgreement(mount, of: ["a", "b", "c"])
        #expect(try names(mount.path) == ["a", "c"])
        let events = watcher.events()
        #expect(events == ["from b/ #1", "to a/ #1", "create c/"])
    }

    /// - Parameter isKnown: whether the kernel knows what is there when the call comes.
    @Test(arguments: [true, false])
    func `no directory is removed that only has changed its name`(_ isKnown: Bool) throws {
        let mount = try TestMount()
        defer { mount.end() }
        let volume = mount.volume
        let count = Atomic(0)
        let request = MakeRequest(kind: .directory, mode: 0o755, uid: geteuid(), gid: getegid())
        try check(mkdir(mount.at("d"), 0o755))
        // The kernel forgets what nobody holds.
        let held = try check(open(mount.at("d"), O_RDONLY))
        defer { close(held) }
        if !isKnown {
            _ = try volume.rename(
                [100], in: .root, to: Array("old 0".utf8), in: .root, .replace, succeeding: nil)
            _ = try volume.make([100], in: .root, request)
        }
        volume.state.withLock { state in
            state.afterLookup = { name in
                guard name == Array("d".utf8), count.load(ordering: .relaxed) < 20 else { return }
                let number = count.wrappingAdd(1, ordering: .relaxed).newValue
                _ = try? volume.rename(
                    name, in: .root, to: Array("old \(number)".utf8), in: .root, .replace,
                    succeeding: nil)
                _ = try? volume.make(name, in: .root, request)
            }
        }
        let result = rmdir(mount.at("d"))
        let code = errno
        #expect(result == (isKnown ? 0 : -1))
        if !isKnown { #expect(code == ENOENT) }
        volume.state.withLock { $0.afterLookup = nil }
        let all = ((isKnown ? 1 : 0)...count.load(ordering: .relaxed)).map { "old \($0)" }
        #expect(isKnown ? all.count == 1 : all.count > 3)
        volume.notify(
            all.map { .entry(directory: .root, name: Array($0.utf8), before: nil) } + [
                .entry(directory: .root, name: [100], before: nil), .derived(.root),
            ])
        try expectAgreement(mount, of: all + ["d"])
    }

    @Test(arguments: ["exchange", "replace"])
    func `a name that became another's while a long listing is read stays that`(
        _ call: String
    ) throws {
        let mount = try TestMount()
        defer { mount.end() }
        for number in 0..<2000 {
            try mount.volume.makeRemotely("a name of some length \(number)", .inline([1]))
        }
        while !mount.mount.awaitShown() {}
        let listed = try mount.volume.list(.root).map { String(decoding: $0.name, as: UTF8.self) }
        let (one, other) = (mount.at(listed[1998]), mount.at(listed[1999]))
        // What loses its name has another one.
        try check(link(other, mount.at("kept")))
        let stream = try #require(opendir(mount.path))
        defer { closedir(stream) }
        func next() -> Bool {
            guard let entry = readdir(stream) else { return false }
            // Who looks at what is listed gets it with the listing.
            _ = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) {
                    access(mount.at(String(cString: $0)), F_OK)
                }
            }
            return true
        }
        for _ in 0..<50 { _ = next() }
        if call == "exchange" {
            try check(renameat2(AT_FDCWD, one, AT_FDCWD, other, 2))
        } else {
            try check(Glibc.rename(one, other))
        }
        while next() {}
        try expectAgreement(mount, of: [listed[1998], listed[1999], "kept"])
    }
}
