"""One person at one device: a thread that runs real programs on its mount, one after the other."""
import errno
import os
import shutil
import subprocess
import threading
import time

from device import Failure

PATIENCE = 120


class Person(threading.Thread):
    """Works between `live` and `rest`; `saved` is what it saved in the shared folder."""

    def __init__(self, device, random):
        super().__init__(daemon=True)
        self.device = device
        self.random = random
        self.name = device.name
        self.count = 0
        # Token to the name of the file that it was saved to, by which program, and when.
        self.saved = {}
        # What the person's own folder has to have: rows of the database, commits of the repository.
        self.rows = self.commits = self.builds = 0
        self.failure = None
        self.is_over = threading.Event()
        # Held during one piece of work, so that nobody is inside when the mount goes.
        self.at_work = threading.Lock()

    def run(self):
        works = [self.edit_note] * 6 + [self.save_blob] * 4 + [self.commit] * 2 + [
            self.insert_rows, self.build, self.copy_tree, self.remove_tree, self.make_note,
            self.rename_things, self.sync_tree, self.keep_log]
        try:
            while not self.is_over.is_set():
                with self.at_work:
                    os.makedirs(self.own(), exist_ok=True)
                    self.random.choice(works)()
                time.sleep(self.random.choice([0, 0.01, 0.1, 0.4]))
        except Exception as failure:
            self.failure = failure

    def own(self, *names):
        return self.device.path("of-" + self.name, *names)

    def shared(self, *names):
        return self.device.path("shared", *names)

    def shell(self, script, folder):
        """Runs real programs; nothing of theirs may fail."""
        environment = dict(
            os.environ, GIT_AUTHOR_NAME=self.name, GIT_AUTHOR_EMAIL="a@example.org",
            GIT_COMMITTER_NAME=self.name, GIT_COMMITTER_EMAIL="a@example.org",
            GIT_CONFIG_GLOBAL="/dev/null", HOME="/nonexistent")
        try:
            done = subprocess.run(
                ["sh", "-euc", script], cwd=folder, env=environment, timeout=PATIENCE, text=True,
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                errors="replace")
        except subprocess.TimeoutExpired:
            raise Failure(f"{self.name}: took longer than {PATIENCE} s: {script}")
        if done.returncode != 0:
            raise Failure(f"{self.name}: {script} ended with {done.returncode}: "
                          + done.stdout[-300:] + done.stderr[-600:])
        return done.stdout

    def token(self):
        self.count += 1
        return f"{self.name}-{self.count}-{self.random.getrandbits(32):08x}"

    def pick(self, ending):
        """One of the shared files, conflict copies included now and then."""
        names = [name for name in sorted(os.listdir(self.shared())) if name.endswith(ending)]
        plain = [name for name in names if "(" not in name]
        names = plain if plain and self.random.random() < 0.9 else names
        return self.random.choice(names) if names else None

    # What people do in the shared folder. A name may be gone when it is used: that is no failure of
    # anybody's, and nothing was saved then.

    def make_note(self):
        name = f"note{self.random.randrange(12)}.txt"
        token = self.token()
        try:
            with open(self.shared(name), "x") as file:
                file.write("".join(f"line {n}\n" for n in range(20)) + token + "\n")
        except FileExistsError:
            return
        self.note(token, name, "new")

    def note(self, token, name, how):
        self.saved[token] = (name, how, time.time())

    def edit_note(self):
        """Adds a line somewhere, with one program or the other; no line is ever taken away."""
        name = self.pick(".txt")
        if name is None:
            return self.make_note()
        token = self.token()
        folder = self.shared()
        try:
            with open(self.shared(name), "rb") as file:
                line = self.random.randrange(1, 2 + file.read().count(b"\n"))
        except FileNotFoundError:
            return
        how = self.random.choice(["append", "sed", "vim", "ed", "rsync", "place", "over"])
        if how == "append":
            file = os.open(self.shared(name), os.O_WRONLY | os.O_APPEND)
            os.write(file, (token + "\n").encode())
            os.close(file)
        elif how in ("sed", "ed", "vim"):
            line = max(1, line - 1)
            written = os.path.join(self.device.home, "..", f"{self.name}.written")
            commands = {
                "sed": f"sed -i '{line}a {token}' '{name}'",
                "ed": f"printf '{line}a\\n{token}\\n.\\nw\\nq\\n' | ed -s '{name}'",
                "vim": f"rm -f '{written}'; vim -nNu NONE -es -c '{line}s/$/\\r{token}/' -c 'w!'"
                       f" -c 'silent !touch {written}' -c 'q!' '{name}' </dev/null",
            }
            try:
                self.shell(f"test -s '{name}'; {commands[how]}; test -e '{name}'", folder)
            except Failure:
                if os.path.exists(self.shared(name)):
                    raise
                return
            if how == "vim" and not os.path.exists(written):
                # Somebody else saved it since it was read: vim asked whether to write, and nobody answered.
                return
        else:
            try:
                with open(self.shared(name), "rb") as file:
                    lines = file.read().splitlines(True)
            except FileNotFoundError:
                return
            lines.insert(line, (token + "\n").encode())
            if lines and not lines[line - 1].endswith(b"\n"):
                lines[line - 1] += b"\n"
            self.put(name, b"".join(lines), how)
        self.note(token, name, how)

    def keep_log(self):
        """A file that all append to, line by line, at the same time; too long to be here unasked, so none of
        the notes."""
        for _ in range(40):
            token = self.token()
            file = os.open(self.shared("all.log"), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            try:
                os.write(file, (token + "\n").encode())
            except OSError as error:
                # Who has the bytes before it may be away.
                if error.errno != errno.EHOSTUNREACH:
                    raise
                return
            finally:
                os.close(file)
            self.note(token, "all.log", "append")
            time.sleep(self.random.random() * 0.02)

    def put(self, name, data, how):
        """Saves the whole of a file."""
        path = self.shared(name)
        if how == "place":
            with open(path, "wb") as file:
                file.write(data)
        elif how == "over":
            temporary = self.shared(f".{self.name}.tmp")
            with open(temporary, "wb") as file:
                file.write(data)
                if self.random.random() < 0.3:
                    os.fsync(file.fileno())
            os.rename(temporary, path)
        else:
            outside = os.path.join(self.device.home, "..", f"{self.name}.save")
            with open(outside, "wb") as file:
                file.write(data)
            shutil.copymode(path, outside)
            self.shell(f"rsync -t '{outside}' '{path}'", "/")

    def save_blob(self):
        """A file without lines: one that two devices save comes in two copies."""
        name = f"blob{self.random.randrange(4)}.bin"
        token = self.token()
        size = self.random.choice([100, 5000, 70_000, 400_000])
        data = b"\0" + token.encode() + b"\0" + self.random.randbytes(size)
        how = self.random.choice(["place", "over"])
        self.put(name, data, how)
        self.note(token, name, how)

    def rename_things(self):
        """Folders that all share go here and there."""
        os.makedirs(self.shared("box"), exist_ok=True)
        folder = self.shared("box", self.random.choice(["a", "b", "c"]))
        to = self.shared("box", self.random.choice(["a", "b", "c", "a/in", "b/in"]))
        try:
            if self.random.random() < 0.5:
                os.makedirs(folder, exist_ok=True)
                token = self.token()
                with open(os.path.join(folder, token + ".made"), "w") as file:
                    file.write(token)
                self.note(token, "box", "new")
            else:
                os.rename(folder, to)
        except OSError as error:
            # In itself, not there, in the way: what anybody else would get.
            if error.errno not in (2, 17, 20, 22, 39):
                raise

    # What people do in folders of their own: only they write there.

    def commit(self):
        repository = self.own("repository")
        if not os.path.isdir(os.path.join(repository, ".git")):
            self.shell("git init -q repository", self.own())
        number = self.random.randrange(20)
        self.shell(
            f"mkdir -p src; date +%N >src/f{number}; echo {self.token()} >>src/all; git add -A;"
            " git commit -qm change; git status --porcelain >/dev/null", repository)
        self.commits += 1
        if self.random.random() < 0.2:
            self.shell("git gc -q; git checkout -qf HEAD; test -z \"$(git status --porcelain)\"",
                       repository)

    def insert_rows(self):
        mode = self.random.choice(["delete", "wal", "truncate"])
        count = self.random.randrange(1, 30)
        rows = "".join(f"insert into t values('{self.token()}');" for _ in range(count))
        self.shell(
            "sqlite3 -bail things.db \"pragma journal_mode={};create table if not exists t(v);{}\""
            .format(mode, rows), self.own())
        self.rows += count

    def build(self):
        """A small program made with make, then changed and made again."""
        self.builds += 1
        self.shell(
            "mkdir -p build; cd build;"
            f"printf 'int value(void) {{ return {self.builds % 100}; }}\\n' >value.c;"
            "printf 'int value(void);\\nint main(void) { return value(); }\\n' >main.c;"
            "printf 'prog: main.o value.o\\n\\tcc -o prog main.o value.o\\n' >Makefile;"
            f"touch value.c; make -s; set +e; ./prog; test $? = {self.builds % 100}", self.own())

    def copy_tree(self):
        self.shell("rm -rf copy; mkdir -p repository; cp -a repository copy;"
                   "diff -r repository copy", self.own())

    def remove_tree(self):
        self.shell("rm -rf copy mirror; test ! -e copy", self.own())

    def sync_tree(self):
        self.shell("mkdir -p repository; rsync -ac --delete repository/ mirror/;"
                   "diff -r repository mirror", self.own())
