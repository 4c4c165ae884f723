import Base
import Testing

@testable import Share

/// What two people do to one share without hearing of each other, and what both see afterwards.
///
/// The situations are those of KBFS's conflict tests (two users, one of them cut off) and of
/// smashbox's tests of concurrent changes, told anew; the results are ours. First `before` happens and
/// reaches both; then Alice's words, and a second later Bob's; then they meet.
///
///     write PATH TEXT   dir PATH   move PATH PATH   remove PATH   removeTree PATH
///     symlink PATH TARGET   executable PATH   times PATH SECONDS
///
///     empty PATH   clock SECONDS (from then on, how far the own clock is ahead)
///
/// In what they see, `{alice}` stands for what a conflict name says of her, and `{alice #}` where that was
/// taken and a hash is added. `times` is in seconds. `again` is what both do apart once more after that.
@Suite struct TwoPeopleTests {
    struct Situation: CustomTestStringConvertible {
        let name: String
        var before: [String] = []
        let alice: [String]
        let bob: [String]
        let both: [String]
        var times: [String: Int64] = [:]
        var again: (alice: [String], bob: [String])?
        var testDescription: String { name }
    }

    @Test(
        arguments: apart + contents + renames + removals + directories + attributes + moves + rings
            + revivals + rounds + crowds)
    func `both see the same`(_ situation: Situation) throws {
        let network = Network(seed: 21)
        let alice = try network.addDevice("alice")
        let bob = try network.addDevice("bob")
        network.connect(bob, alice)
        network.run(seconds: 2)
        for words in situation.before { try alice.take(words) }
        network.run(seconds: 2)
        network.disconnectAll()
        // What was made long ago is no save by rename.
        try network.restart(alice)
        network.run(seconds: 1)
        for words in situation.alice { try alice.take(words) }
        network.run(seconds: 1)
        for words in situation.bob { try bob.take(words) }
        network.run(seconds: 1)
        network.connect(alice, bob)
        network.run(seconds: 5)
        if let again = situation.again {
            network.disconnectAll()
            for words in again.alice { try alice.take(words) }
            network.run(seconds: 1)
            for words in again.bob { try bob.take(words) }
            network.run(seconds: 1)
            network.connect(alice, bob)
            network.run(seconds: 5)
        }
        let expected = situation.both.map(Self.expanded)
        let (hers, his) = (try alice.everything(), try bob.everything())
        #expect(hers == expected.sorted())
        #expect(his == hers)
        for (path, seconds) in situation.times {
            for device in [alice, bob] {
                let shown = try device.volume.attributes(of: try device.directory(path)).modified
                #expect(shown.seconds == seconds, "\(path)")
            }
        }
        #expect(alice.volume.status().digest == bob.volume.status().digest)
    }

    fileprivate static func expanded(_ line: String) -> String {
        ["alice", "bob"].reduce(line) { text, name in
            text.replacing("{\(name)}", with: " (conflict \(name) 2023-11-14)")
                .replacing("{\(name) #}", with: " (conflict \(name) 2023-11-14 #)")
        }
    }

    static let apart = [
        Situation(
            name: "two new files", before: ["dir a", "write a/b hello"],
            alice: ["write a/c world"], bob: ["write a/d uhoh"],
            both: ["a/b = hello", "a/c = world", "a/d = uhoh"]),
        Situation(
            name: "a new file and a new directory with a file",
            before: ["dir a", "write a/b hello"], alice: ["write a/c world"],
            bob: ["dir a/d", "write a/d/e uhoh"],
            both: ["a/b = hello", "a/c = world", "a/d/e = uhoh"]),
        Situation(
            name: "a new file and a symlink", before: ["dir a", "write a/b hello"],
            alice: ["write a/c world"], bob: ["symlink a/d b"],
            both: ["a/b = hello", "a/c = world", "a/d -> b"]),
        Situation(
            name: "a new file, and another made executable",
            before: ["dir a", "write a/b hello"], alice: ["write a/c world"],
            bob: ["executable a/b"], both: ["a/b* = hello", "a/c = world"]),
        Situation(
            name: "a new file, and another removed", before: ["dir a", "write a/b hello"],
            alice: ["write a/c world"], bob: ["remove a/b"], both: ["a/c = world"]),
        Situation(
            name: "a new file, and another renamed", before: ["dir a", "write a/b hello"],
            alice: ["write a/c world"], bob: ["move a/b a/d"],
            both: ["a/c = world", "a/d = hello"]),
        Situation(
            name: "a new file, and another moved to another directory",
            before: ["dir a", "write a/b hello", "dir d"], alice: ["write a/c world"],
            bob: ["move a/b d/e"], both: ["a/c = world", "d/e = hello"]),
        Situation(
            name: "a new file, and one renamed over a third",
            before: ["dir a", "write a/b hello", "write a/c world"], alice: ["write a/d new"],
            bob: ["move a/c a/b"], both: ["a/b = world", "a/d = new"]),
        Situation(
            name: "a new file, and a directory renamed over an empty one",
            before: ["dir a", "dir a/b", "dir a/c", "write a/c/d hello"],
            alice: ["write a/e new"], bob: ["removeTree a/b", "move a/c a/b"],
            both: ["a/b/d = hello", "a/e = new"]),
        Situation(
            name: "a new file beside a tree that goes",
            before: ["dir a", "dir a/b", "dir a/b/c", "write a/b/c/e hello"],
            alice: ["write a/g here"], bob: ["removeTree a/b"], both: ["a/g = here"]),
    ]

    static let contents = [
        Situation(
            name: "two saves of one file", before: ["write b hello"], alice: ["write b world"],
            bob: ["write b uhoh"], both: ["b = uhoh", "b{alice} = world"]),
        Situation(
            name: "two saves of a file with two suffixes", before: ["write foo.tar.gz hello"],
            alice: ["write foo.tar.gz world"], bob: ["write foo.tar.gz uhoh"],
            both: ["foo.tar.gz = uhoh", "foo.tar{alice}.gz = world"]),
        Situation(
            name: "two saves of the same bytes", before: ["write b hello"],
            alice: ["write b same"], bob: ["write b same"], both: ["b = same"]),
        Situation(
            name: "several saves on either side", before: ["write b hello"],
            alice: ["write b 1", "write b 2"], bob: ["write b 3", "write b 4"],
            both: ["b = 4", "b{alice} = 2"]),
        Situation(
            name: "two new files of one name", before: ["dir a"], alice: ["write a/b world"],
            bob: ["write a/b uhoh"], both: ["a/b = world", "a/b{bob} = uhoh"]),
        Situation(
            name: "two new files of one name and the same bytes", alice: ["write b same"],
            bob: ["write b same"], both: ["b = same"]),
        Situation(
            name: "a save, and a removal after a save", before: ["write a hello"],
            alice: ["write a goodbye", "remove a"], bob: ["write a hellothere"],
            both: ["a = hellothere", "a{alice} = goodbye"]),
        Situation(
            name: "a save and a removal", before: ["write a hello"], alice: ["remove a"],
            bob: ["write a world"], both: ["a = world"]),
        Situation(
            name: "made executable, and saved", before: ["write a hello"],
            alice: ["executable a"], bob: ["write a world"], both: ["a* = world"]),
        Situation(
            name: "two directories' worth of saves",
            before: ["dir a", "write a/1 x", "write a/2 y"],
            alice: ["write a/1 A", "write a/2 B"], bob: ["write a/2 C"],
            both: ["a/1 = A", "a/2 = C", "a/2{alice} = B"]),
    ]

    static let renames = [
        Situation(
            name: "a file in two new places", before: ["write x hello"], alice: ["move x a"],
            bob: ["move x b"], both: ["b = hello"]),
        Situation(
            name: "two files to one name", before: ["write x 1", "write y 2"],
            alice: ["move x n"], bob: ["move y n"], both: ["n = 1", "n{bob} = 2"]),
        Situation(
            name: "renamed and saved", before: ["write x hello"], alice: ["move x y"],
            bob: ["write x world"], both: ["y = world"]),
        Situation(
            name: "saved, and saved and renamed", before: ["write b hello"],
            alice: ["write b world"], bob: ["write b uhoh", "move b c"],
            both: ["c = uhoh", "c{alice} = world"]),
        Situation(
            name: "saved, and saved and renamed to a name that is taken by now",
            before: ["write b hello"], alice: ["write b world", "write c mine"],
            bob: ["write b uhoh", "move b c"],
            both: ["c = mine", "c{bob} = uhoh", "c{alice} = world"]),
        Situation(
            name: "saved, and saved and moved to another directory",
            before: ["dir a", "dir d", "write a/b hello"], alice: ["write a/b world"],
            bob: ["write a/b uhoh", "move a/b d/c"],
            both: ["a/", "d/c = uhoh", "d/c{alice} = world"]),
        Situation(
            name: "saved, and another renamed over it",
            before: ["write b hello", "write c world"], alice: ["write b uhoh"],
            bob: ["move c b"], both: ["b = uhoh", "b{bob} = world"]),
        Situation(
            name: "another renamed over it, and saved",
            before: ["write b hello", "write c world"], alice: ["move c b"],
            bob: ["write b uhoh"], both: ["b = uhoh", "b{alice} = world"]),
        Situation(
            name: "saved, and another renamed over it by way of a new directory",
            before: ["write b hello", "write c world"], alice: ["write b uhoh"],
            bob: ["dir e", "move c e/c", "move e/c b"],
            both: ["b = uhoh", "b{bob} = world", "e/"]),
        Situation(
            name: "renamed and removed", before: ["write b hello"], alice: ["move b c"],
            bob: ["remove b"], both: ["c = hello"]),
        Situation(
            name: "saved by rename on both sides", before: ["write f hello"],
            alice: ["write t world", "move t f"], bob: ["write t uhoh", "move t f"],
            both: ["f = uhoh", "f{alice} = world"]),
        Situation(
            name: "saved by rename, and saved in place", before: ["write f hello"],
            alice: ["write t world", "move t f"], bob: ["write f uhoh"],
            both: ["f = uhoh", "f{alice} = world"]),
        Situation(
            name: "the same rename twice", before: ["write x hello"], alice: ["move x y"],
            bob: ["move x y"], both: ["y = hello"]),
        Situation(
            name: "swapped on both sides", before: ["write x 1", "write y 2"],
            alice: ["move x t", "move y x", "move t y"],
            bob: ["move x t", "move y x", "move t y"], both: ["x = 2", "y = 1"]),
    ]

    static let removals = [
        Situation(
            name: "removed twice", before: ["write x hello"], alice: ["remove x"],
            bob: ["remove x"], both: []),
        Situation(
            name: "a tree removed, and a file made in it",
            before: ["dir a", "dir a/b", "write a/b/c 1", "write a/d 2"],
            alice: ["removeTree a"], bob: ["write a/b/e new"], both: ["a/b/e = new"]),
        Situation(
            name: "a tree removed, and a file in it saved",
            before: ["dir a", "dir a/b", "write a/b/c 1", "write a/d 2"],
            alice: ["write a/b/c 3"], bob: ["removeTree a"], both: ["a/b/c = 3"]),
        Situation(
            name: "a tree removed, and a file moved out of it",
            before: ["dir a", "write a/b 1", "write a/c 2"], alice: ["removeTree a"],
            bob: ["move a/b b"], both: ["b = 1"]),
        Situation(
            name: "a tree removed, and a file moved into it",
            before: ["dir a", "write a/b 1", "write c 2"], alice: ["removeTree a"],
            bob: ["move c a/c"], both: ["a/c = 2"]),
        Situation(
            name: "a directory removed, and made anew", before: ["dir a", "write a/b 1"],
            alice: ["removeTree a", "dir a", "write a/c 2"], bob: ["write a/b 3"],
            both: ["a/b = 3", "a/c = 2"]),
        Situation(
            name: "a directory removed, and its times set", before: ["dir a"],
            alice: ["removeTree a"], bob: ["times a 5"], both: []),
    ]

    static let directories = [
        Situation(
            name: "one new directory on both sides", alice: ["dir a", "write a/1 x"],
            bob: ["dir a", "write a/2 y"], both: ["a/1 = x", "a/2 = y"]),
        Situation(
            name: "a new file and a new directory of one name", before: ["dir a"],
            alice: ["write a/b world"], bob: ["dir a/b", "write a/b/c uhoh"],
            both: ["a/b/c = uhoh", "a/b{alice} = world"]),
        Situation(
            name: "a saved file, and a directory in its place",
            before: ["dir a", "write a/b hello"], alice: ["write a/b world"],
            bob: ["remove a/b", "dir a/b", "write a/b/c uhoh"],
            both: ["a/b/c = uhoh", "a/b{alice} = world"]),
        Situation(
            name: "an empty file and a symlink of one name", alice: ["symlink c b"],
            bob: ["write c x"], both: ["c = x", "c{alice} -> b"]),
        Situation(
            name: "two symlinks of one name", alice: ["symlink d b"], bob: ["symlink d c"],
            both: ["d -> b", "d{bob} -> c"]),
        Situation(
            name: "two equal symlinks", alice: ["symlink d b"], bob: ["symlink d b"],
            both: ["d -> b"]),
        Situation(
            name: "a directory renamed to the name of a new one",
            before: ["dir b", "write b/c hello"], alice: ["dir d", "write d/e world"],
            bob: ["write b/f uhoh", "move b d"],
            both: ["d/e = world", "d{bob}/c = hello", "d{bob}/f = uhoh"]),
        Situation(
            name: "a directory made where another went",
            before: ["dir b", "write b/c hello"], alice: ["write b/f uhoh", "move b d"],
            bob: ["dir d", "write d/e world"],
            both: ["d/c = hello", "d/f = uhoh", "d{bob}/e = world"]),
        Situation(
            name: "renamed, and a file made in it", before: ["dir a"], alice: ["move a b"],
            bob: ["write a/c x"], both: ["b/c = x"]),
        Situation(
            name: "each into the other", before: ["dir a", "dir b", "write a/1 x", "write b/2 y"],
            alice: ["move a b/a"], bob: ["move b a/b"], both: ["b/a/1 = x", "b/2 = y"]),
        Situation(
            name: "a ring of three", before: ["dir a", "dir b", "dir c"],
            alice: ["move a b/a", "move b c/b"], bob: ["move c a/c"], both: ["c/b/a/"]),
        Situation(
            name: "a directory in two places", before: ["dir a", "dir b", "dir c", "write a/1 x"],
            alice: ["move a b/a"], bob: ["move a c/a"], both: ["b/", "c/a/1 = x"]),
        Situation(
            name: "a directory over one that is no longer empty",
            before: ["dir b", "dir c", "write c/d hello"], alice: ["write b/e uhoh"],
            bob: ["removeTree b", "move c b"], both: ["b/e = uhoh", "b{bob}/d = hello"]),
        Situation(
            name: "everything moved to another directory, and one file saved",
            before: ["dir a", "write a/1 x", "write a/2 y", "dir b"],
            alice: ["move a/1 b/1", "move a/2 b/2", "removeTree a"], bob: ["write a/1 z"],
            both: ["b/1 = z", "b/2 = y"]),
    ]
}

extension Network.Device {
    fileprivate func take(_ words: String) throws {
        let parts = words.split(separator: " ").map { TwoPeopleTests.expanded(String($0)) }
        switch parts[0] {
        case "write": try write(parts[1], parts[2])
        case "dir": try mkdir(parts[1])
        case "empty": try write(parts[1], "")
        case "clock": clockSkew = Int64(parts[1])!
        case "move": try rename(parts[1], parts[2])
        case "remove": try unlink(parts[1])
        case "removeTree": try removeTree(parts[1])
        case "symlink":
            let path = parts[1].split(separator: "/")
            let parent = try directory(path.dropLast().joined(separator: "/"))
            _ = try volume.make(
                Array(path.last!.utf8), in: parent,
                MakeRequest(
                    kind: .symlink, mode: 0o777, uid: 0, gid: 0, target: Array(parts[2].utf8)))
        case "executable":
            _ = try volume.setAttributes(
                of: try directory(parts[1]), to: AttributeChange(mode: 0o755))
        case "times":
            _ = try volume.setAttributes(
                of: try directory(parts[1]),
                to: AttributeChange(modified: Timestamp(seconds: Int64(parts[2])!)))
        default: Issue.record("unknown word \(parts[0])")
        }
    }

    private func removeTree(_ path: String) throws {
        for item in try volume.list(try directory(path)) {
            let below = path + "/" + String(decoding: item.name, as: UTF8.self)
            if item.kind == .directory { try removeTree(below) } else { try unlink(below) }
        }
        try rmdir(path)
    }

    /// Every file with its text, every symlink with its target, and the directories that are empty.
    fileprivate func everything(_ path: String = "") throws -> [String] {
        var lines: [String] = []
        for item in try volume.list(try directory(path)) {
            let name = String(decoding: item.name, as: UTF8.self)
            let below = path + name.replacing(#/ [0-9a-f]{8,}\)/#, with: " #)")
            switch item.kind {
            case .directory:
                let inside = try everything(path + name + "/")
                lines += inside.isEmpty ? [below + "/"] : inside
            case .symlink:
                let target = String(decoding: try volume.readLink(item.node), as: UTF8.self)
                lines.append("\(below) -> \(target)")
            default:
                let mode = try volume.attributes(of: item.node).mode
                lines.append(
                    "\(below)\(mode & 0o100 != 0 ? "*" : "") = \(try text(path + name) ?? "?")")
            }
        }
        return lines.sorted()
    }
}
