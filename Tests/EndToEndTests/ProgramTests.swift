import Foundation
import Testing

extension EndToEndTests {
    /// Ordinary programs in a mount: each leaves what it would leave on a local disk, and the other
    /// device sees the same.
    struct ProgramTests {
        /// Runs a script in one mount and in a local folder, and expects the same three times.
        ///
        /// - Parameters:
        ///   - comparesTimes: whether the script sets all times that it leaves.
        ///   - script: runs in an empty folder; `$SOURCE` is a small tree to work with.
        private func expectAsOnDisk(
            _ programs: [String], comparesTimes: Bool = false, limit: Duration = .seconds(90),
            _ script: String
        ) throws {
            for program in programs where Machine.find(program) == nil {
                try Test.cancel("\(program) is not installed")
            }
            try Place.use(limit) { place in
                let source = place.path + "/source"
                try Fixture.make(source, files: 150, bytes: 3_000_000, in: place)
                let pair = try Pair(in: place)
                let local = place.path + "/local"
                try Files.makeFolder(local)
                try Files.makeFolder(pair.alice.path("work"))
                let whole = "SOURCE='\(source)'\n\(script)"
                try place.shell(whole, in: local)
                try place.shell(whole, in: pair.alice.path("work"), within: .seconds(60))
                try pair.converge()
                for device in pair.both {
                    let differences = try TreeListing(of: device.path("work"))
                        .differences(from: TreeListing(of: local), comparingTimes: comparesTimes)
                    #expect(
                        differences.isEmpty,
                        "\(device.name):\n\(differences.joined(separator: "\n"))")
                    #expect(try device.status().conflicts == 0)
                }
            }
        }

        @Test func `cp, tar and rsync keep everything`() throws {
            try expectAsOnDisk(
                ["tar", "rsync"], comparesTimes: true,
                // rsync takes times within one second for equal: the source's must be long past.
                """
                find "$SOURCE" -depth -exec touch -h -d '2021-02-03 04:05:06.789 UTC' {} +
                cp -a "$SOURCE" copied
                mkdir packed && tar --xattrs -C "$SOURCE" -cf - . | tar --xattrs -C packed -xpf -
                tar -C packed -cf packed.tar odd && touch -d '2020-01-01 UTC' packed.tar
                mkdir synced && rsync -aHX "$SOURCE/" synced/
                rsync -aHX --checksum --delete "$SOURCE/" synced/
                rsync -aHX --inplace --no-whole-file --checksum packed/ synced/
                [ -z "$(rsync -aHXni --checksum "$SOURCE/" synced/)" ]
                touch -d '2020-01-01 UTC' .
                rm packed.tar && touch -d '2020-01-01 UTC' .
                """)
        }

        @Test func `git makes, clones and checks repositories`() throws {
            guard Machine.find("git") != nil else { try Test.cancel("git is not installed") }
            try Place.use(.seconds(120)) { place in
                let source = place.path + "/source"
                try Fixture.make(source, files: 150, bytes: 3_000_000, in: place)
                let pair = try Pair(in: place)
                try place.shell(
                    """
                    export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a
                    export GIT_COMMITTER_EMAIL=a@b GIT_CONFIG_NOSYSTEM=1
                    git config --global safe.directory '*'
                    git init -q repository && cd repository
                    rm -rf odd && cp -r '\(source)'/* . && rm -rf odd
                    git add -A && git commit -qm first
                    for i in 1 2 3; do echo $i >>counter && git add -A && git commit -qm "$i"; done
                    git checkout -qb other HEAD~2 && echo x >y && git add y && git commit -qm y
                    git checkout -q - && git merge -q -m merged other
                    git gc -q && git repack -adq
                    [ -z "$(git status --porcelain)" ] && git fsck --strict
                    cd .. && git clone -q repository cloned && git -C cloned fsck --strict
                    git clone -q --bare --no-local repository bare.git && git -C bare.git fsck
                    cd cloned && git stash list && git log --oneline | wc -l
                    """, in: pair.alice.mountPoint, within: .seconds(90))
                try pair.converge()
                for repository in ["repository", "cloned", "bare.git"] {
                    try place.shell("git fsck --strict", in: pair.bob.path(repository))
                }
                try place.shell(
                    """
                    [ -z "$(git status --porcelain)" ]
                    git -c user.name=b -c user.email=b@c commit -q --allow-empty -m 'by bob'
                    """, in: pair.bob.path("cloned"))
                try pair.converge()
                let newest = try place.shell(
                    "git log -1 --format=%s && git fsck", in: pair.alice.path("cloned"))
                #expect(newest.hasPrefix("by bob"))
                #expect(try pair.alice.status().conflicts == 0)
            }
        }

        @Test func `editors and sed save`() throws {
            try expectAsOnDisk(
                ["sed"],
                """
                printf 'one\\ntwo\\nthree\\n' >text && cp text text2 && cp text text3 && cp text text4
                sed -i s/two/2/ text
                sed -i.bak s/three/3/ text2
                perl -v >/dev/null 2>&1 && perl -pi -e 's/one/1/' text2 || sed -i s/one/1/ text2
                vi=$(command -v vim.tiny || command -v vim || true)
                if [ -n "$vi" ]; then
                    for backup in 'nobackup nowritebackup' 'writebackup backupcopy=yes' \\
                        'writebackup backupcopy=no' 'backup backupcopy=auto'; do
                        "$vi" -u NONE -i NONE -n -es -c "set $backup" -c '%s/$/ vi/' -c wq text3
                        "$vi" -u NONE -i NONE -es -c "set $backup" -c 'normal Gosaved' -c x text4
                    done
                fi
                echo 'appended' >>text && : >text5 && truncate -s 5 text5 && rm text2.bak
                """)
        }

        @Test func `nano saves`() throws {
            guard Machine.find("nano") != nil, Machine.find("script") != nil else {
                try Test.cancel("nano or script is not installed")
            }
            try Place.use(.seconds(60)) { place in
                let pair = try Pair(in: place)
                try pair.alice.write("the end\n", to: "note.txt")
                // Keys through a terminal: a line, ^O, Enter, ^X; pauses, as nano drops early ones.
                try place.shell(
                    """
                    (sleep 2; printf 'typed\\r'; sleep 1; printf '\\017'; sleep 1; printf '\\r'
                     sleep 1; printf '\\030') |
                        TERM=xterm timeout 60 script -qec "nano -I note.txt" /dev/null >/dev/null
                    """, in: pair.alice.mountPoint, within: .seconds(30))
                try pair.converge()
                for device in pair.both {
                    let text = device.read("note.txt").map { String(decoding: $0, as: UTF8.self) }
                    #expect(text == "typed\nthe end\n")
                    #expect(device.names() == ["note.txt"])
                }
            }
        }

        @Test func `make builds a program`() throws {
            try expectAsOnDisk(
                ["make", "cc"],
                """
                mkdir program && cd program
                for i in 1 2 3 4 5 6; do echo "int f$i(void) { return $i; }" >"f$i.c"; done
                cat >main.c <<'END'
                #include <stdio.h>
                int f1(void), f2(void), f3(void), f4(void), f5(void), f6(void);
                int main(void) { printf("%d\\n", f1() + f2() + f3() + f4() + f5() + f6()); }
                END
                printf 'o = main.o f1.o f2.o f3.o f4.o f5.o f6.o\\nprogram: libf.a main.o\\n' >Makefile
                printf '\\tcc -o program main.o libf.a\\nlibf.a: $(o)\\n\\tar rcD libf.a $(o)\\n' >>Makefile
                make -s -j2 program && [ "$(./program)" = 21 ] && make -q program
                touch f3.c && ! make -q program && make -s program && [ "$(./program)" = 21 ]
                """)
        }

        @Test(arguments: ["delete", "wal"])
        func `sqlite keeps its databases whole`(journal: String) throws {
            guard Machine.find("sqlite3") != nil else {
                try Test.cancel("sqlite3 is not installed")
            }
            try Place.use(.seconds(90)) { place in
                let pair = try Pair(in: place)
                let many = (1...300).map { "INSERT INTO t VALUES (\($0), hex(randomblob(500)));" }
                    .joined(separator: "\n")
                try place.shell(
                    """
                    sqlite3 data.db 'PRAGMA journal_mode=\(journal); CREATE TABLE t(a INTEGER, b);' >/dev/null
                    sqlite3 data.db <<'END'
                    BEGIN;
                    \(many)
                    COMMIT;
                    END
                    for i in $(seq 20); do
                        sqlite3 data.db "INSERT INTO t VALUES (1000 + $i, hex(randomblob(100)));"
                    done
                    sqlite3 data.db 'CREATE INDEX i ON t(b); DELETE FROM t WHERE a % 3 = 0; VACUUM;'
                    [ "$(sqlite3 data.db 'PRAGMA integrity_check')" = ok ]
                    """, in: pair.alice.mountPoint, within: .seconds(60))
                try pair.converge()
                let count = try place.shell(
                    """
                    [ "$(sqlite3 data.db 'PRAGMA integrity_check')" = ok ]
                    sqlite3 data.db 'SELECT count(*) FROM t'
                    sqlite3 data.db "INSERT INTO t VALUES (1, 'by bob')"
                    """, in: pair.bob.mountPoint)
                // 300 rows and 20 more, without those that 3 divides: 100 of the first, 7 of the others.
                #expect(count == "213\n")
                try pair.converge()
                let row = try place.shell(
                    "sqlite3 data.db \"SELECT count(*) FROM t WHERE b = 'by bob'\"",
                    in: pair.alice.mountPoint)
                #expect(row == "1\n")
            }
        }
    }
}
