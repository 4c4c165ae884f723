/// More of the situations of KBFS's and smashbox's tests, told in our words.
extension TwoPeopleTests {
    /// Times, modes and kinds.
    static let attributes = [
        Situation(
            name: "the times of one file, set twice", before: ["write b hello"],
            alice: ["times b 60"], bob: ["times b 120"], both: ["b = hello"], times: ["b": 120]),
        Situation(
            name: "the times of one directory, set twice, beside a save",
            before: ["dir a", "write b hello"], alice: ["times a 60"],
            bob: ["times a 120", "write b world"], both: ["a/", "b = world"], times: ["a": 120]),
        Situation(
            name: "times set, and times set and renamed", before: ["write b hello"],
            alice: ["times b 60"], bob: ["times b 120", "move b c"], both: ["c = hello"],
            times: ["c": 120]),
        Situation(
            name: "times set and moved to another directory, and times set",
            before: ["dir a", "write a/b hello"], alice: ["times a/b 60", "move a/b c"],
            bob: ["times a/b 120"], both: ["a/", "c = hello"], times: ["c": 120]),
        Situation(
            name: "moved, and its times set", before: ["dir a", "dir b", "write a/b hello"],
            alice: ["move a/b b/a"], bob: ["times a/b 60"], both: ["a/", "b/a = hello"],
            times: ["b/a": 60]),
        Situation(
            name: "a directory moved, and its times set", before: ["dir a", "dir b"],
            alice: ["move a b/a"], bob: ["times a 60"], both: ["b/a/"], times: ["b/a": 60]),
        Situation(
            name: "a file made in a directory whose times are set afterwards", before: ["dir a"],
            alice: ["write a/b hello"], bob: ["write a/c hello", "times a 60"],
            both: ["a/b = hello", "a/c = hello"], times: ["a": 60]),
        Situation(
            name: "the times of an empty file, and a new one", before: ["empty b"],
            alice: ["write c hello"], bob: ["times b 60"], both: ["b = ", "c = hello"],
            times: ["b": 60]),
        Situation(
            name: "the times of a directory in a new one", before: ["write b hello"],
            alice: ["write c world"], bob: ["dir d", "dir d/e", "times d/e 60"],
            both: ["b = hello", "c = world", "d/e/"], times: ["d/e": 60]),
        Situation(
            name: "saved, and made executable", before: ["write b hello"],
            alice: ["write b world"], bob: ["executable b"], both: ["b* = world"]),
        Situation(
            name: "saved, and moved and made executable", before: ["write b hello"],
            alice: ["write b world"], bob: ["move b c", "executable c"], both: ["c* = world"]),
        Situation(
            name: "saved, and moved with its times set", before: ["write b hello"],
            alice: ["write b world"], bob: ["move b c", "times c 60"], both: ["c = world"],
            times: ["c": 60]),
        Situation(
            name: "removed, and moved and made executable", before: ["write b hello"],
            alice: ["remove b"], bob: ["move b c", "executable c"], both: ["c* = hello"]),
        Situation(
            name: "made executable, and saved, removed and made anew", before: ["write a hello"],
            alice: ["executable a"], bob: ["write a uhoh", "remove a", "write a world"],
            both: ["a = world"]),
        Situation(
            name: "a new directory and an empty file of one name", alice: ["dir c"],
            bob: ["empty c"], both: ["c/", "c{bob} = "]),
        Situation(
            name: "an empty file and a symlink of one name, the file first", alice: ["empty c"],
            bob: ["symlink c b"], both: ["c = ", "c{bob} -> b"]),
        Situation(
            name: "cut to two lengths", before: ["write b hello"], alice: ["write b hell"],
            bob: ["write b hel"], both: ["b = hel", "b{alice} = hell"]),
        Situation(
            name: "emptied, and emptied and filled", before: ["write b hello"],
            alice: ["empty b"], bob: ["empty b", "write b xyz"],
            both: ["b = xyz"]),
        Situation(
            name: "saved by a clock that is a day ahead", before: ["write b hello"],
            alice: ["clock 90000", "write b world"], bob: ["write b uhoh"],
            both: ["b = world", "b{bob} = uhoh"]),
    ]

    /// One thing in two places, and things that follow it there.
    static let moves = [
        Situation(
            name: "an executable in two new places", before: ["write x hello", "executable x"],
            alice: ["move x a"], bob: ["move x b"], both: ["b* = hello"]),
        Situation(
            name: "a symlink in two new places", before: ["write foo hello", "symlink b foo"],
            alice: ["move b c"], bob: ["move b d"], both: ["d -> foo", "foo = hello"]),
        Situation(
            name: "a directory under two new names", before: ["dir b", "write b/c hello"],
            alice: ["move b d"], bob: ["move b e"], both: ["e/c = hello"]),
        Situation(
            name: "a directory moved up, and renamed below",
            before: ["dir b", "dir b/c", "dir b/c/e", "write b/c/e/foo hello"],
            alice: ["move b/c/e e"], bob: ["move b/c/e b/c/f"], both: ["b/c/f/foo = hello"]),
        Situation(
            name: "a directory renamed below, and moved up",
            before: ["dir b", "dir b/c", "dir b/c/e", "write b/c/e/foo hello"],
            alice: ["move b/c/e b/c/f"], bob: ["move b/c/e e"],
            both: ["b/c/", "e/foo = hello"]),
        Situation(
            name: "a directory moved down, and renamed", before: ["dir b", "write b/foo hello"],
            alice: ["dir c", "dir c/d", "move b c/d/f"], bob: ["move b g"],
            both: ["c/d/", "g/foo = hello"]),
        Situation(
            name: "a directory moved sideways, and renamed",
            before: ["dir b", "dir b/d", "write b/d/foo hello", "dir e"],
            alice: ["move b/d e/g"], bob: ["move b/d b/h"], both: ["b/h/foo = hello", "e/"]),
        Situation(
            name: "saved and renamed, and saved", before: ["write b hello"],
            alice: ["write b world", "move b c"], bob: ["write b uhoh"],
            both: ["c = uhoh", "c{alice} = world"]),
        Situation(
            name: "saved and renamed, and saved beside a new file of that name",
            before: ["write b hello"], alice: ["write b uhoh", "move b c"],
            bob: ["write b world", "write c mine"],
            both: ["c = world", "c{alice} = uhoh", "c{bob} = mine"]),
        Situation(
            name: "saved and moved to another directory, and saved",
            before: ["dir a", "dir d", "write a/b hello"],
            alice: ["write a/b world", "move a/b d/c"], bob: ["write a/b uhoh"],
            both: ["a/", "d/c = uhoh", "d/c{alice} = world"]),
        Situation(
            name: "saved, and moved to another directory",
            before: ["dir a", "dir b", "write a/foo hello"], alice: ["write a/foo goodbye"],
            bob: ["move a/foo b/bar"], both: ["a/", "b/bar = goodbye"]),
        Situation(
            name: "moved into a new directory, beside a new file",
            before: ["dir a", "write a/b hello"], alice: ["dir d", "move a/b d/e"],
            bob: ["write a/c world"], both: ["a/c = world", "d/e = hello"]),
        Situation(
            name: "a new file, renamed at once", before: ["write b hello"],
            alice: ["write c world"], bob: ["write b2 more", "move b2 d"],
            both: ["b = hello", "c = world", "d = more"]),
        Situation(
            name: "a symlink renamed, beside a new file", before: ["write b hello", "symlink c b"],
            alice: ["write d world"], bob: ["move c e"],
            both: ["b = hello", "d = world", "e -> b"]),
        Situation(
            name: "files made in a directory, and that renamed", before: ["dir a", "dir a/b"],
            alice: ["write a/b/c hello", "write a/b/d goodbye"], bob: ["move a/b b"],
            both: ["a/", "b/c = hello", "b/d = goodbye"]),
        Situation(
            name: "a directory moved into a new one, and a file made in it there",
            before: ["dir a", "dir a/b"], alice: ["write a/c touch"],
            bob: ["dir a/d", "move a/b a/d/e", "write a/d/e/f hello"],
            both: ["a/c = touch", "a/d/e/f = hello"]),
        Situation(
            name: "the same new directories, and the same file renamed in them",
            before: ["write b hello"],
            alice: ["dir c", "dir c/d", "write c/d/e foo", "move c/d/e c/d/f"],
            bob: ["dir c", "dir c/d", "write c/d/e foo", "move c/d/e c/d/f"],
            both: ["b = hello", "c/d/f = foo"]),
        Situation(
            name: "made, moved and removed, beside a removal",
            before: ["dir a", "write a/b hello"],
            alice: ["remove a/b"], bob: ["write c test", "times c 60", "move c d", "remove d"],
            both: ["a/"]),
        Situation(
            name: "a directory made and removed with what was in it, beside a removal",
            before: ["dir a", "write a/b hello", "dir x"], alice: ["remove a/b"],
            bob: ["dir c", "write c/d test", "move c/d c/e", "remove c/e", "removeTree c"],
            both: ["a/", "x/"]),
    ]

    /// Directories moved into each other: the earlier move counts.
    static let rings = [
        Situation(
            name: "into the other, and into a new directory of that",
            before: ["dir a", "dir b"], alice: ["move b a/b"], bob: ["dir b/c", "move a b/c/a"],
            both: ["a/b/c/"]),
        Situation(
            name: "deep into each other",
            before: ["dir a", "dir a/b", "dir a/b/c", "dir d", "dir d/e", "dir d/e/f"],
            alice: ["move d a/b/c/d"],
            bob: [
                "dir d/e/f/g", "dir d/e/f/g/h", "dir d/e/f/g/h/i", "move a d/e/f/g/h/i/a",
            ], both: ["a/b/c/d/e/f/g/h/i/"]),
        Situation(
            name: "a chain taken apart from both ends, without a ring",
            before: [
                "dir a", "dir a/b", "dir a/b/c", "dir a/b/c/d", "dir a/b/c/d/e", "dir a/b/c/d/e/f",
                "dir a/b/c/d/e/f/g",
            ], alice: ["move a/b/c/d/e/f f", "move a/b/c/d f/g/d", "move a/b f/g/d/e/b"],
            bob: [
                "move a/b/c/d/e/f/g g", "move a/b/c/d/e g/e", "move a/b/c g/e/f/c",
                "move a g/e/f/c/d/a",
            ], both: ["f/c/", "g/d/a/", "g/e/b/"]),
        Situation(
            name: "into each other, and a file where one was", before: ["dir b", "dir c"],
            alice: ["move c b/c"], bob: ["move b c/b", "write b uhoh"],
            both: ["b/c/", "b{bob} = uhoh"]),
        Situation(
            name: "into each other, and a file where either was", before: ["dir b", "dir c"],
            alice: ["move c b/c", "write b/c/b uhoh"], bob: ["move b c/b", "write b double"],
            both: ["b/c/b = uhoh", "b{bob} = double"]),
        Situation(
            name: "into each other, a file where one was and a directory where it would be",
            before: ["dir b", "dir c"], alice: ["move c b/c", "dir b/c/b"],
            bob: ["move b c/b", "write b uhoh"], both: ["b/c/b/", "b{bob} = uhoh"]),
    ]

    /// Removed by one, wanted by the other.
    static let revivals = [
        Situation(
            name: "saved, and removed", before: ["dir a", "write a/b hello"],
            alice: ["write a/b goodbye"], bob: ["remove a/b"], both: ["a/b = goodbye"]),
        Situation(
            name: "moved and removed, and saved",
            before: ["dir a", "dir a/b", "write a/b/c hello"],
            alice: ["dir d", "move a/b/c d/c", "remove d/c"], bob: ["write a/b/c goodbye"],
            both: ["a/b/", "d/c = goodbye"]),
        Situation(
            name: "a deep tree removed, and a file made in it",
            before: ["dir a", "dir a/b", "dir a/b/c", "dir a/b/c/d", "write a/b/c/d/e hello"],
            alice: ["removeTree a/b"], bob: ["write a/b/c/d/f goodbye"],
            both: ["a/b/c/d/f = goodbye"]),
        Situation(
            name: "a file made deep in a tree, and that removed",
            before: ["dir a", "dir a/b", "dir a/b/c", "dir a/b/c/d", "write a/b/c/d/e hello"],
            alice: ["write a/b/c/d/f goodbye"], bob: ["removeTree a/b"],
            both: ["a/b/c/d/f = goodbye"]),
        Situation(
            name: "a tree removed, and two files in it saved",
            before: [
                "dir c", "dir c/d", "dir c/d/1", "dir c/d/2", "write c/d/1/f one",
                "write c/d/2/f two",
            ], alice: ["removeTree c"], bob: ["write c/d/1/f uno", "write c/d/2/f due"],
            both: ["c/d/1/f = uno", "c/d/2/f = due"]),
        Situation(
            name: "a deep tree removed, and the times of a directory in it set",
            before: ["dir a", "dir a/b", "dir a/b/c", "write a/b/c/d hello"],
            alice: ["removeTree a"], bob: ["times a/b/c 60", "write e world"],
            both: ["e = world"]),
        Situation(
            name: "files made in a tree, and that removed after its times were set",
            before: ["dir a", "dir a/b", "dir a/b/c", "write a/b/c/d hello"],
            alice: ["write a/b/c/e hello2", "write a/b/f hello3"],
            bob: ["times a/b/c 60", "times a/b 60", "removeTree a/b"],
            both: ["a/b/c/e = hello2", "a/b/f = hello3"]),
        Situation(
            name: "an empty directory removed, beside a new file", before: ["dir a", "dir a/b"],
            alice: ["write a/c world"], bob: ["removeTree a/b"], both: ["a/c = world"]),
    ]

    /// Apart, together, and apart once more.
    static let rounds = [
        Situation(
            name: "saved on both sides, twice", before: ["write b hello"],
            alice: ["write b world"], bob: ["write b uhoh"],
            both: ["b = again", "b{alice #} = another", "b{alice} = world"],
            again: (["write b another"], ["write b again"])),
        Situation(
            name: "a file with two suffixes saved on both sides, twice",
            before: ["write f.tar.gz hello"], alice: ["write f.tar.gz world"],
            bob: ["write f.tar.gz uhoh"],
            both: ["f.tar.gz = again", "f.tar{alice #}.gz = another", "f.tar{alice}.gz = world"],
            again: (["write f.tar.gz another"], ["write f.tar.gz again"])),
        Situation(
            name: "new files, and then both removed apart", before: ["dir b"],
            alice: ["write b/c hello", "write b/e more"],
            bob: ["write b/d goodbye", "write b/f more2"],
            both: ["b/c = hello", "b/d = goodbye"], again: (["remove b/f"], ["remove b/e"])),
        Situation(
            name: "a directory renamed to a taken name, twice",
            before: ["dir b", "write b/c hello"], alice: ["dir d", "write d/e world"],
            bob: ["move b d"],
            both: ["d/e = world", "d{bob}/c = hello", "k/1 = one", "k{bob}/h = uhoh"],
            again: (["dir k", "write k/1 one"], ["dir x", "write x/h uhoh", "move x k"])),
        Situation(
            name: "a conflict removed by one, and its file saved by the other",
            before: ["write b hello"], alice: ["write b world"], bob: ["write b uhoh"],
            both: ["b = more"], again: (["remove b{alice}"], ["write b more"])),
    ]

    /// As smashbox does: many files at once.
    static let crowds = [
        Situation(
            name: "a directory moved while files are added to it", before: ["dir subdir"],
            alice: (0..<20).map { "write subdir/\($0) text\($0)" }, bob: ["move subdir subdir2"],
            both: (0..<20).map { "subdir2/\($0) = text\($0)" }),
        Situation(
            name: "files added to a directory while it is moved", before: ["dir subdir"],
            alice: ["move subdir subdir2"], bob: (0..<20).map { "write subdir/\($0) text\($0)" },
            both: (0..<20).map { "subdir2/\($0) = text\($0)" }),
        Situation(
            name: "a directory removed while files are added to it", before: ["dir subdir"],
            alice: (0..<20).map { "write subdir/\($0) text\($0)" }, bob: ["removeTree subdir"],
            both: (0..<20).map { "subdir/\($0) = text\($0)" }),
        Situation(
            name: "files added to a directory that was removed", before: ["dir subdir"],
            alice: ["removeTree subdir"], bob: (0..<20).map { "write subdir/\($0) text\($0)" },
            both: (0..<20).map { "subdir/\($0) = text\($0)" }),
        Situation(
            name: "both add files", alice: (0..<10).map { "write a\($0) x" },
            bob: (0..<10).map { "write b\($0) x" },
            both: (0..<10).flatMap { ["a\($0) = x", "b\($0) = x"] }),
        Situation(
            name: "a file overwritten again and again on both sides", before: ["write f 0"],
            alice: (1..<10).map { "write f a\($0)" }, bob: (1..<10).map { "write f b\($0)" },
            both: ["f = b9", "f{alice} = a9"]),
        Situation(
            name: "a file handed back and forth", before: ["write f 0"], alice: ["write f 1"],
            bob: [], both: ["f = 2"], again: ([], ["write f 2"])),
        Situation(
            name: "names that are one word to people and several to the disk",
            alice: ["write caf\u{e9} one", "write CAF\u{c9} two"], bob: ["write cafe\u{301} three"],
            both: ["CAF\u{c9} = two", "cafe\u{301} = three", "caf\u{e9} = one"]),
    ]
}
