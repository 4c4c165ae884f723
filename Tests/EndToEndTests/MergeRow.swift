/// One row of the table of concurrent pairs, told as what people type on two devices that are apart.
///
/// Each row has a folder of its own, in which the scripts run; `put NAME LINE…` writes lines in place.
/// First `before` happens and reaches both, then `alice`, and moments later `bob`; then they meet. Of
/// what both show, a line is a file with its text (`|` ends a line, `\0` is a NUL), a symbolic link with
/// its target, or a directory that is empty; after a name stand the mode, if it is not 644, the extended
/// attributes and the number of links, if there are several. `{alice}` stands for what a conflict name
/// says of her.
struct MergeRow {
    let number: Int
    var before = ""
    let alice: String
    let bob: String
    let both: [String]
    /// What `holdfast conflicts` lists.
    var conflicts: [String] = []
    /// What follows once they have met: each half once more while apart, and what both show then.
    var again: (alice: String, bob: String, both: [String])?
}

extension MergeRow {
    static let all = contents + saves + names + tree + others

    static let contents = [
        MergeRow(
            number: 1,
            before: "put f.swift one two three four five; put g.txt 'the quick brown fox'",
            alice: "put f.swift 1 two three four five; put g.txt 'a quick brown fox'",
            bob: "put f.swift one two three four 5; put g.txt 'the quick brown dog'",
            both: ["f.swift = 1|two|three|four|5|", "g.txt = a quick brown dog|"]),
        MergeRow(
            number: 2, before: #"put f.txt one two; printf '\0old' >b"#,
            alice: #"put f.txt 1 two; printf '\0hers' >b"#,
            bob: #"put f.txt eins two; printf '\0his' >b"#,
            both: [
                #"b = \0his"#, #"b{alice} = \0hers"#, "f.txt = eins|two|",
                "f{alice}.txt = 1|two|",
            ], conflicts: ["b", "f.txt"]),
        MergeRow(
            number: 3, before: #"put f one; printf '\0old' >b"#,
            alice: #"put f same; printf '\0new' >b"#, bob: #"put f same; printf '\0new' >b"#,
            both: [#"b = \0new"#, "f = same|"]),
        MergeRow(
            number: 4, before: "for f in end.md list.json; do put $f one; done; put mid.txt 1 2",
            alice: "for f in end.md list.json; do put $f one a b; done; put mid.txt 1 a b 2",
            bob: "for f in end.md list.json; do put $f one c; done; put mid.txt 1 c 2",
            both: [
                "end.md = one|a|b|c|", "list.json = one|c|", "list{alice}.json = one|a|b|",
                "mid.txt = 1|a|b|c|2|",
            ], conflicts: ["list.json"]),
        MergeRow(
            number: 5, before: "put f old; put g old", alice: "put f new; rm g",
            bob: "rm f; put g new", both: ["f = new|", "g = new|"]),
        MergeRow(
            number: 6, before: "put f old; mkdir d; put d/f old", alice: "rm f; rm -r d",
            bob: "rm -r d; rm f", both: []),
        MergeRow(
            number: 14, before: "put f old; put g old", alice: "mv f f2; put g new",
            bob: "put f new; mv g g2", both: ["f2 = new|", "g2 = new|"]),
        MergeRow(
            number: 26, before: "put f old; put g old",
            alice: "chmod 600 f; setfattr -n user.x -v 1 f; put g new",
            bob: "put f new; chmod 600 g; setfattr -n user.x -v 1 g",
            both: ["f 600 x=1 = new|", "g 600 x=1 = new|"]),
        MergeRow(
            number: 28, before: "put f old; put t.txt one two three four",
            alice: "truncate -s 0 f; truncate -s 14 t.txt",
            bob: "put f long; put t.txt 1 two three four",
            both: ["f = long|", "f{alice} = ", "t.txt = 1|two|three|"], conflicts: ["f"]),
        MergeRow(
            number: 30, before: "put f old", alice: "put f one", bob: "put f two",
            both: ["f = two|", "f{alice} = one|"], conflicts: ["f"],
            again: ("put f three", "rm 'f (conflict'*", ["f = three|"])),
        MergeRow(
            number: 31, before: "put f old; put g old", alice: "put f one; put g one",
            bob: "put f two; put g two",
            both: ["f = two|", "f{alice} = one|", "g = two|", "g{alice} = one|"],
            conflicts: ["f", "g"],
            again: (
                "put 'f (conflict'* one edited; mv 'g (conflict'* mine", "put f two more",
                ["f = two|more|", "f{alice} = one|edited|", "g = two|", "mine = one|"]
            )),
    ]

    /// Each way to save, by one program: once beside an edit apart from it, once beside one of the same line.
    static let saves = [
        (19, #"put("$_.tmp"); rename "$_.tmp", $_"#, [String]()),
        (20, #"rename $_, "$_~"; put($_); unlink "$_~""#, []),
        (
            20, #"rename $_, "$_~"; put($_)"#,
            ["f.txt~ = one|two|three|", "g.txt~ = one|two|three|"]
        ),
        (21, "unlink; put($_)", []),
    ].map { number, save, backups in
        MergeRow(
            number: number, before: "for f in f.txt g.txt; do put $f one two three; done",
            alice: """
                perl -e 'sub put { open F, ">", shift; print F "1\\ntwo\\nthree\\n"; close F }
                    for ("f.txt", "g.txt") { \(save) }'
                """,
            bob: "put f.txt one two 3; put g.txt eins two three",
            both: [
                "f.txt = 1|two|3|", "g.txt = eins|two|three|", "g{alice}.txt = 1|two|three|",
            ] + backups, conflicts: ["g.txt"])
    }

    static let names = [
        MergeRow(
            number: 7, alice: "put f.txt one; put same x", bob: "put f.txt two; put same x",
            both: ["f.txt = one|", "f{bob}.txt = two|", "same = x|"], conflicts: ["f.txt"]),
        MergeRow(
            number: 8, alice: "mkdir -p d/sub; put d/1 x; put d/sub/1 x",
            bob: "mkdir -p d/sub; put d/2 y; put d/sub/2 y",
            both: ["d/1 = x|", "d/2 = y|", "d/sub/1 = x|", "d/sub/2 = y|"],
            // It is one to whoever goes on with it.
            again: (
                "mv d e", "rm d/1; put d/sub/3 z",
                [
                    "e/2 = y|", "e/sub/1 = x|", "e/sub/2 = y|", "e/sub/3 = z|",
                ]
            )),
        MergeRow(
            number: 9, alice: "put n file; mkdir m; ln -s x k; ln -s x l",
            bob: "mkdir n; put n/f x; put m file; mkdir k; put l file",
            both: [
                "k/", "k{alice} -> x", "l = file|", "l{alice} -> x", "m/", "m{bob} = file|",
                "n/f = x|", "n{alice} = file|",
            ], conflicts: ["k", "l", "m", "n"]),
        MergeRow(
            number: 10, alice: "ln -s x same; ln -s x other", bob: "ln -s x same; ln -s y other",
            both: ["other -> x", "other{bob} -> y", "same -> x"], conflicts: ["other"]),
        MergeRow(
            number: 11, before: "put x old; mkdir p; put p/f old", alice: "mv x a; mv p q",
            bob: "mv x b; mv p r", both: ["b = old|", "r/f = old|"]),
        MergeRow(
            number: 12, before: "put x x; put y y; mkdir p q; put p/f p; put q/f q",
            alice: "mv x n; mv p m", bob: "mv y n; mv q m",
            both: ["m/f = p|", "m{bob}/f = q|", "n = x|", "n{bob} = y|"], conflicts: ["m", "n"]),
        MergeRow(
            number: 22, before: "put f old; put g unrelated", alice: "mv g f", bob: "put f edited",
            both: ["f = edited|", "f{alice} = unrelated|"], conflicts: ["f"]),
        MergeRow(
            number: 29, alice: "set -C; echo alice >lock", bob: "set -C; echo bob >lock",
            both: ["lock = alice|", "lock{bob} = bob|"], conflicts: ["lock"]),
    ]

    static let tree = [
        MergeRow(
            number: 13, before: "mkdir x y a b c", alice: "mv x y/x; mv a b/a; mv b c/b",
            bob: "mv y x/y; mv c a/c", both: ["c/b/a/", "y/x/"]),
        MergeRow(
            number: 15, before: "put x x; put y y; mkdir d e",
            alice: "mv x x2; rm y; mv d d2; rmdir e",
            bob: "rm x; mv y y2; rmdir d; mv e e2", both: ["d2/", "e2/", "x2 = x|", "y2 = y|"]),
        MergeRow(
            number: 16,
            before: """
                for d in r s; do
                    mkdir -p $d/keep/deep $d/gone; put $d/keep/deep/f old; put $d/gone/g old; put $d/h old
                done
                """, alice: "rm -r r; put s/keep/deep/f new; put s/keep/made new",
            bob: "put r/keep/deep/f new; put r/keep/made new; rm -r s",
            both: [
                "r/keep/deep/f = new|", "r/keep/made = new|", "s/keep/deep/f = new|",
                "s/keep/made = new|",
            ]),
        MergeRow(
            number: 17, before: "mkdir d e; put d/out x; put in y; put e/out x; put in2 y",
            alice: "rm -r d; mv e/out out2; mv in2 e/in", bob: "mv d/out out; mv in d/in; rm -r e",
            both: ["d/in = y|", "e/in = y|", "out = x|", "out2 = x|"]),
        MergeRow(
            number: 18, before: "mkdir d e; put d/old x", alice: "mv d d2; put e/f new",
            bob: "put d/f new; mv e e2", both: ["d2/f = new|", "d2/old = x|", "e2/f = new|"]),
    ]

    static let others = [
        MergeRow(
            number: 23, before: "put f old; ln f link", alice: "put t new; mv t f",
            bob: "chmod 600 link", both: ["f = new|", "link 600 = old|"]),
        // An edit, under whatever name, brings back all names whose removal had not seen it.
        MergeRow(
            number: 24, before: "put f old; put g old; ln g h; put i old; ln i j",
            alice: "ln f f2; rm g i", bob: "rm f; chmod 600 h; put j new",
            both: ["f2 = old|", "h 600 = old|", "i = new|", "j = new|"]),
        MergeRow(
            number: 25, before: "put f x",
            alice: "chmod 600 f; setfattr -n user.x -v 1 f; setfattr -n user.y -v 1 f",
            bob: "chmod 640 f; setfattr -n user.x -v 2 f", both: ["f 640 x=2 y=1 = x|"]),
        MergeRow(
            number: 27, before: "for f in a b c d; do put $f x; done",
            alice: "rm a b; chmod 600 c; touch -d @60 d",
            bob: "touch -d @60 a; setfattr -n user.x -v 1 b; rm c d", both: []),
        MergeRow(
            number: 34,
            before: #"""
                mkdir -p .git/refs x.git; put .git/refs/main 0; put x.git/main 0; printf '\0' >.git/index
                put .git/HEAD 'ref: refs/heads/old/a'; put .git/packed-refs a c
                put db 0; put db-wal 0
                """#,
            alice: #"""
                put .git/refs/main 1; put x.git/main 1; printf '\0hers' >.git/index
                put .git/HEAD 'ref: refs/heads/new/a'; put .git/packed-refs a c e
                put db 1; put db-wal 1
                """#,
            bob: #"""
                put .git/refs/main 2; put x.git/main 2; printf '\0his' >.git/index
                put .git/HEAD 'ref: refs/heads/old/b'; put .git/packed-refs a c d
                put db 2; put db-wal 2
                """#,
            both: [
                ".git/HEAD = ref: refs/heads/old/b|", #".git/index = \0his"#,
                ".git/packed-refs = a|c|d|", ".git/refs/main = 2|", "db = 2|", "db-wal = 2|",
                "x.git/main = 2|",
            ],
            conflicts: [
                ".git/HEAD", ".git/index", ".git/packed-refs", ".git/refs/main", "db", "db-wal",
                "x.git/main",
            ]),
    ]
}
