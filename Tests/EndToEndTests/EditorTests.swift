import Foundation
import Glibc
import Testing

extension EndToEndTests {
    /// Real programs save a text on one device, while another changes it elsewhere.
    struct EditorTests {
        private static let base = (1...40).map { "line \($0) of the text" }

        private static func text(_ changes: [Int: String]) -> String {
            base.enumerated().map { changes[$0.offset] ?? $0.element }.joined(separator: "\n")
                + "\n"
        }

        /// A way to change the first line of `f.txt` into `alice`.
        struct Saving: CustomTestStringConvertible, Sendable {
            var program: String
            var script: String
            /// What else is there afterwards.
            var backup: String?

            var testDescription: String { script }
        }

        static let vim = "vim -Es -u NONE -N -c 'set noswapfile backupskip= writebackup"

        /// On a terminal of its own: cuts the first line, types another, saves and leaves; the next key is
        /// typed when nothing more is shown.
        static func nano(_ options: String = "") -> String {
            """
            python3 - \(options) <<'END'
            import fcntl, os, pty, select, struct, sys, termios
            child, terminal = pty.fork()
            if child == 0:
                os.environ["TERM"] = "xterm"
                os.execvp("nano", ["nano", "--ignorercfiles"] + sys.argv[1:] + ["f.txt"])
            fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
            def look(patience):
                try:
                    while select.select([terminal], [], [], patience)[0] and os.read(terminal, 65536):
                        patience = 0.1
                except OSError:
                    pass
            for keys in (b"\\x0b", b"alice\\r", b"\\x0f", b"\\r", b"\\x18"):
                look(5)
                os.write(terminal, keys)
            look(5)
            sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
            END
            """
        }

        /// It makes no backups below /tmp unless told to.
        static func emacs(_ settings: String) -> String {
            """
            emacs -Q --batch --eval "(setq backup-enable-predicate (lambda (name) t))" f.txt \\
                --eval '(progn \(settings) (kill-line) (insert "alice") (save-buffer))'
            """
        }

        /// The system calls of a program that is not at hand, as they were recorded.
        static func recorded(_ program: String, _ calls: String) -> Saving {
            Saving(
                program: "python3",
                script: """
                    export NEW && python3 - <<'END'
                    # As \(program) does.
                    import os
                    data = open(os.environ["NEW"], "rb").read()
                    \(calls)
                    END
                    """)
        }

        static let savings = [
            recorded(
                "VS Code",
                """
                file = os.open("f.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
                os.write(file, data)
                os.fdatasync(file)
                os.close(file)
                os.stat("f.txt")
                """),
            recorded(
                "LibreOffice",
                """
                new = os.O_RDWR | os.O_CREAT | os.O_EXCL
                lock = os.open(".~lock.f.txt#", new, 0o644)
                os.write(lock, b",user,host,22.11.2026 10:00;")
                os.close(lock)
                os.close(os.open("lu26413zcqi7p.tmp", new, 0o600))
                file = os.open("lu26413zcqi7p.tmp", os.O_RDWR)
                half = len(data) // 2
                os.pwrite(file, data[half:], half)
                os.pwrite(file, data[:half], 0)
                os.fsync(file)
                os.close(file)
                os.chmod("lu26413zcqi7p.tmp", 0o644)
                os.rename("lu26413zcqi7p.tmp", "f.txt")
                os.unlink(".~lock.f.txt#")
                """),
            Saving(program: "vim", script: "\(vim) backupcopy=yes' -c '1s/.*/alice/' -c wq f.txt"),
            Saving(program: "vim", script: "\(vim) backupcopy=no' -c '1s/.*/alice/' -c wq f.txt"),
            Saving(program: "vim", script: "\(vim) backupcopy=auto' -c '1s/.*/alice/' -c wq f.txt"),
            Saving(
                program: "vim",
                script: "\(vim) backup backupcopy=no' -c '1s/.*/alice/' -c wq f.txt",
                backup: "f.txt~"),
            Saving(program: "sed", script: "sed -i '1s/.*/alice/' f.txt"),
            Saving(program: "sed", script: "sed -i.bak '1s/.*/alice/' f.txt", backup: "f.txt.bak"),
            Saving(program: "rsync", script: "rsync -t --checksum \"$NEW\" f.txt"),
            Saving(program: "rsync", script: "rsync -t --checksum --inplace \"$NEW\" f.txt"),
            Saving(
                program: "rsync", script: "rsync -t --checksum --backup \"$NEW\" f.txt",
                backup: "f.txt~"),
            Saving(program: "nano", script: nano()),
            Saving(program: "nano", script: nano("--backup"), backup: "f.txt~"),
            Saving(
                program: "emacs", script: emacs(""), backup: "f.txt~"),
            Saving(
                program: "emacs",
                script: emacs("(setq make-backup-files nil)")),
            Saving(
                program: "emacs",
                script: emacs("(setq file-precious-flag t)"),
                backup: "f.txt~"),
            Saving(
                program: "git",
                script: """
                    export GIT_DIR="$NEW.git" GIT_WORK_TREE="$PWD" GIT_CONFIG_NOSYSTEM=1 HOME=/nowhere
                    export GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=safe.directory GIT_CONFIG_VALUE_0='*'
                    git init -q && git config core.autocrlf false
                    git config user.name a && git config user.email a@b
                    git add f.txt && git commit -qm old && git branch old
                    cp "$NEW" "$NEW.work" && blob=$(git hash-object -w "$NEW.work")
                    git update-index --cacheinfo 100644,$blob,f.txt && git commit -qm new
                    git branch new && git reset -q --hard old && git checkout -q new
                    """),
            Saving(program: "cp", script: "cp \"$NEW\" f.txt"),
        ]

        @Test(arguments: savings)
        func `what a program saves is merged with an edit elsewhere`(_ saving: Saving) throws {
            guard Machine.find(saving.program) != nil else {
                try Test.cancel("\(saving.program) is not installed")
            }
            try Place.use(.seconds(90)) { place in
                let pair = try Pair(in: place)
                try pair.alice.write(Self.text([:]), to: "f.txt")
                try pair.converge()
                for device in pair.both { try device.pause() }
                let new = place.path + "/new.txt"
                try Self.text([0: "alice"]).write(toFile: new, atomically: false, encoding: .utf8)
                try place.shell(
                    "NEW='\(new)'\n\(saving.script)", in: pair.alice.mountPoint,
                    within: .seconds(30))
                #expect(
                    pair.alice.read("f.txt") == Array(Self.text([0: "alice"]).utf8),
                    "\(saving.script)")
                usleep(1_100_000)
                try pair.bob.write(Self.text([39: "bob"]), to: "f.txt")
                for device in pair.both { try device.resume() }
                try pair.converge()
                let merged = Array(Self.text([0: "alice", 39: "bob"]).utf8)
                for device in pair.both {
                    #expect(device.names() == ["f.txt"] + (saving.backup.map { [$0] } ?? []))
                    #expect(device.read("f.txt") == merged)
                    if let backup = saving.backup {
                        #expect(device.read(backup) == Array(Self.text([:]).utf8))
                    }
                    #expect(try device.status().conflicts == 0)
                }
            }
        }

        /// Lock files, backups by rename and by link, files removed and made anew, renamed, written in
        /// place, one right after the other: what stands under which name is known at each step.
        static let mixture = """
            import os, random, sys
            dice = random.Random(int(sys.argv[1]))
            shown = {}
            def put(name, data, flags=os.O_CREAT | os.O_EXCL | os.O_WRONLY):
                file = os.open(name, flags, 0o644)
                os.write(file, data)
                os.close(file)
                shown[name] = data
            def rename(name, other):
                os.rename(name, other)
                shown[other] = shown.pop(name)
            def lock(name, data):
                put(name + ".lock", data)
                rename(name + ".lock", name)
            def aside(name, data):
                rename(name, name + "~")
                put(name, data)
            def anew(name, data):
                os.unlink(name)
                put(name, data)
            def linked(name, data):
                if name + "~" in shown:
                    os.unlink(name + "~")
                os.link(name, name + "~")
                shown[name + "~"] = shown[name]
                put(name + ".t", data)
                rename(name + ".t", name)
            def over(name, data):
                put(name, data, os.O_CREAT | os.O_TRUNC | os.O_WRONLY)
            def away(name, data):
                rename(name, dice.choice([name + ".1", dice.choice(names)]))
            def remove(name, data):
                os.unlink(name)
                del shown[name]
            names = [f"n{number}" for number in range(4)]
            for step in range(int(sys.argv[2])):
                name = dice.choice(names)
                data = dice.randbytes(dice.choice([0, 10, 100, 5000, 20000]))
                change = dice.choice([lock, aside, anew, linked, over, away, remove])
                if name in shown or change in (lock, over):
                    change(name, data)
                if step % 7 == 0:
                    assert sorted(os.listdir(".")) == sorted(shown), (step, change, os.listdir("."))
                    for name, data in shown.items():
                        with open(name, "rb") as file:
                            found = file.read()
                        assert found == data, (step, change, name, len(found), len(data))
            """

        @Test(arguments: [Machine.seed, Machine.seed + 1])
        func `names and bytes are what a program made them, however fast it goes on`(_ seed: UInt64)
            throws
        {
            try Place.use(.seconds(90)) { place in
                let pair = try Pair(in: place)
                let script = place.path + "/mixture.py"
                try Self.mixture.write(toFile: script, atomically: false, encoding: .utf8)
                try place.shell("python3 '\(script)' \(seed) 700", in: pair.alice.mountPoint)
                try pair.converge()
                #expect(pair.bob.names() == pair.alice.names(), "seed \(seed)")
                for name in pair.alice.names() {
                    #expect(pair.bob.read(name) == pair.alice.read(name), "seed \(seed): \(name)")
                }
                for device in pair.both { #expect(try device.status().conflicts == 0) }
                // Who only looked on wrote nothing.
                let log = try pair.bob.holdfast(
                    "log", pair.bob.mountPoint, "--json", "--limit", "50000")
                #expect(log.code == 0 && log.output.contains("\"device\":\"alice\""))
                #expect(!log.output.contains("\"device\":\"bob\""), "seed \(seed)")
            }
        }

        @Test func `a program that goes on with its file finds it where it was`() throws {
            try Place.use(.seconds(60)) { place in
                let pair = try Pair(in: place)
                try pair.alice.write("old\n", to: "f")
                // A backup by renaming, and both stay open: each goes on as what it was.
                try place.shell(
                    """
                    python3 - <<'END'
                    import os
                    old = os.open("f", os.O_RDWR)
                    before = os.fstat(old).st_ino
                    os.rename("f", "f~")
                    new = os.open("f", os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o640)
                    number = os.fstat(new).st_ino
                    os.write(new, b"new\\n"); os.fsync(new)
                    assert os.stat("f").st_ino == number == os.fstat(new).st_ino
                    assert os.stat("f~").st_ino == before == os.fstat(old).st_ino
                    assert number != before and os.stat("f").st_mode & 0o777 == 0o640
                    assert os.read(old, 9) == b"old\\n" and os.pread(new, 9, 0) == b"new\\n"
                    os.write(old, b"older\\n"); os.fsync(old)
                    os.write(new, b"newer\\n"); os.close(new); os.close(old)
                    assert open("f").read() == "new\\nnewer\\n"
                    assert open("f~").read() == "old\\nolder\\n"
                    END
                    """, in: pair.alice.mountPoint)
                try pair.converge()
                #expect(pair.bob.read("f") == Array("new\nnewer\n".utf8))
                #expect(pair.bob.read("f~") == Array("old\nolder\n".utf8))
                #expect(try pair.bob.status().conflicts == 0)
            }
        }

        @Test func `a backup in another folder is seen there at once`() throws {
            try Place.use(.seconds(60)) { place in
                let pair = try Pair(in: place)
                for name in ["made", "moved"] { try pair.alice.write("old\n", to: name) }
                try place.shell(
                    """
                    python3 - <<'END'
                    import os, time
                    for name in ("made", "moved"):
                        os.mkdir("of " + name)
                        os.rename(name, f"of {name}/{name}~")
                        before = os.stat("of " + name).st_mtime_ns
                        time.sleep(0.3)
                        with open(name if name == "made" else "temporary", "x") as file:
                            file.write("new\\n")
                        if name == "moved":
                            os.rename("temporary", name)
                        after = os.stat("of " + name).st_mtime_ns
                        assert after >= before
                        assert open(f"of {name}/{name}~").read() == "old\\n"
                    END
                    """, in: pair.alice.mountPoint)
                // Times of folders, too.
                try pair.converge()
                for name in ["made", "moved"] {
                    #expect(pair.bob.read(name) == Array("new\n".utf8))
                    #expect(pair.bob.read("of \(name)/\(name)~") == Array("old\n".utf8))
                }
            }
        }
    }
}
