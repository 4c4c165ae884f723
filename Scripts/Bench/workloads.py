"""What programs do to files, as steps that can be timed on any folder.

Each round has its own small files and its own tree, so that what creates can run in all rounds before
anything is removed: a file system that avoids what was freed a moment ago creates far slower then.
"""
import json
import mmap
import os
import random
import shutil
import sqlite3
import subprocess
from dataclasses import dataclass
from typing import Callable, Optional

import content
import machine

PAGE = 4096
GIT = dict(
    os.environ, GIT_CONFIG_GLOBAL="/dev/null", GIT_CONFIG_SYSTEM="/dev/null",
    GIT_AUTHOR_NAME="bench", GIT_AUTHOR_EMAIL="bench@example.invalid",
    GIT_COMMITTER_NAME="bench", GIT_COMMITTER_EMAIL="bench@example.invalid")


class Missing(Exception):
    """A workload cannot run here; says why."""


@dataclass
class Sizes:
    large: int            # bytes of the large file
    files: int            # small files of a round
    tree: int             # files of a source tree
    appends: int
    random_reads: int     # cached; a twentieth of them when they come from the disk
    random_writes: int
    transactions: int

    @staticmethod
    def choose(quick):
        if quick:
            return Sizes(128 << 20, 1000, 200, 4000, 20000, 4000, 1000)
        return Sizes(1 << 30, 5000, 800, 20000, 100000, 20000, 10000)


class Field:
    """One folder that workloads run in, and what they left there."""

    def __init__(self, folder, sizes, archive):
        self.folder = folder
        self.sizes = sizes
        self.archive = archive
        self.large = os.path.join(folder, "large")
        self.round = 0
        self.pieces = None

    def path(self, name):
        return os.path.join(self.folder, f"{name}-{self.round}")

    def small_paths(self):
        folder = self.path("small")
        return [os.path.join(folder, f"f{index:06}") for index in range(self.sizes.files)]

    # What a step needs to find. None of this is timed.

    def fresh_pieces(self):
        # Made before the clock runs, and anew each time: equal content would be stored once.
        self.pieces = list(content.large(self.sizes.large))

    def need_large(self):
        if not os.path.exists(self.large):
            self.fresh_pieces()
            self.write()

    def no_large(self):
        self.fresh_pieces()
        if os.path.exists(self.large):
            os.unlink(self.large)

    def known_large(self):
        self.need_large()
        content.read(self.large)

    def large_read_in(self):
        """What a small write costs depends on the pages in the cache: those that a read leaves."""
        self.need_large()
        machine.drop_caches()
        content.read(self.large)

    def old_large(self):
        self.known_large()
        self.fresh_pieces()

    def new_small(self):
        os.makedirs(self.path("small"))
        self.pieces = list(content.small(self.sizes.files, PAGE))

    def need_small(self):
        if not os.path.isdir(self.path("small")):
            self.new_small()
            self.create()

    def known_small(self, step):
        self.need_small()
        step(self)

    def new_tree(self):
        os.makedirs(self.path("tree"))

    def need_tree(self):
        if not os.path.isdir(self.path("tree")):
            self.new_tree()
            self.untar()

    def need_git(self):
        self.need_tree()
        if not os.path.isdir(os.path.join(self.path("tree"), ".git")):
            self.git_add()

    def known_git(self):
        self.need_git()
        self.git_status()

    def known_tree(self):
        self.need_tree()
        self.grep()

    # One large file.

    def write(self):
        content.write(self.large, self.pieces)
        self.pieces = None

    def overwrite(self):
        descriptor = os.open(self.large, os.O_RDWR)
        for index, piece in enumerate(self.pieces):
            os.pwrite(descriptor, piece, index * content.PIECE)
        os.fsync(descriptor)
        os.close(descriptor)
        self.pieces = None

    def read(self):
        content.read(self.large)

    def read_mapped(self):
        descriptor = os.open(self.large, os.O_RDONLY)
        with mmap.mmap(descriptor, 0, prot=mmap.PROT_READ) as pages:
            for offset in range(0, len(pages), content.PIECE):
                pages[offset:offset + content.PIECE]
        os.close(descriptor)

    def random_reads(self):
        return self._fio("randread", self.sizes.random_reads)

    def random_reads_cold(self):
        return self._fio("randread", self.sizes.random_reads // 20)

    def random_writes(self):
        return self._fio("randwrite", self.sizes.random_writes)

    def _fio(self, kind, count):
        """Seconds for `count` single pages: Python's own cost for a call would hide that of one."""
        if not shutil.which("fio"):
            raise Missing("fio is not installed")
        told = subprocess.run(
            ["fio", "--name=bench", f"--filename={self.large}", f"--rw={kind}", "--bs=4k",
             "--ioengine=psync", "--thread=1", f"--size={self.sizes.large}", "--norandommap=1",
             f"--number_ios={count}", f"--randseed={self.round + 1}", "--invalidate=0",
             "--fallocate=none", "--create_on_open=0", "--output-format=json"],
            cwd="/", stdout=subprocess.PIPE, text=True, check=True).stdout
        job = json.loads(told[told.index("{"):])["jobs"][0]
        side = job["write" if kind == "randwrite" else "read"]
        # Finer than the run time, which is in whole milliseconds.
        return side["total_ios"] / side["iops"]

    def append(self):
        line = os.urandom(512)
        path = self.path("log")
        descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o644)
        for _ in range(self.sizes.appends):
            os.write(descriptor, line)
        os.fsync(descriptor)
        os.close(descriptor)

    # Many small files.

    def create(self):
        for path, data in zip(self.small_paths(), self.pieces):
            descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
            os.write(descriptor, data)
            os.close(descriptor)
        self.pieces = None

    def stat(self):
        for path in self.small_paths():
            os.lstat(path)

    def stat_missing(self):
        for path in self.small_paths():
            os.path.lexists(path + ".not")

    def names(self):
        count = len(os.listdir(self.path("small")))
        if count != self.sizes.files:
            raise RuntimeError(f"{count} names listed instead of {self.sizes.files}")

    def names_and_stat(self):
        with os.scandir(self.path("small")) as entries:
            for entry in entries:
                entry.stat(follow_symlinks=False)

    def ls(self):
        subprocess.run(["ls", "-l", self.path("small")], check=True, stdout=subprocess.DEVNULL)

    def read_small(self):
        for path in self.small_paths():
            descriptor = os.open(path, os.O_RDONLY)
            os.read(descriptor, 1 << 17)
            os.close(descriptor)

    def rename(self):
        for path in self.small_paths():
            os.rename(path, path + "~")
        for path in self.small_paths():
            os.rename(path + "~", path)

    def unlink(self):
        for path in self.small_paths():
            os.unlink(path)

    # Programs.

    def untar(self):
        subprocess.run(["tar", "-xf", self.archive, "-C", self.path("tree")], check=True)

    def _git(self, *words):
        if not shutil.which("git"):
            raise Missing("git is not installed")
        subprocess.run(
            ["git", "-c", "safe.directory=*", "-c", "gc.auto=0", *words], cwd=self.path("tree"),
            env=GIT, check=True, stdout=subprocess.DEVNULL)

    def git_add(self):
        self._git("init", "-q")
        self._git("add", "-A", "-f")
        self._git("commit", "-q", "-m", "all of it")

    def git_status(self):
        self._git("status", "--porcelain")

    def grep(self):
        # Found nowhere: status 1.
        subprocess.run(["grep", "-rI", "no such words", self.path("tree")])

    def remove_tree(self):
        subprocess.run(["rm", "-rf", self.path("tree")], check=True)

    def transactions(self, synchronous):
        path = self.path("sqlite-" + synchronous.lower())
        database = sqlite3.connect(path, isolation_level=None)
        database.execute("PRAGMA journal_mode=WAL")
        database.execute(f"PRAGMA synchronous={synchronous}")
        database.execute("CREATE TABLE rows (id INTEGER PRIMARY KEY, text TEXT)")
        for index in range(self.sizes.transactions):
            database.execute("INSERT INTO rows (text) VALUES (?)", (f"row number {index}" * 5,))
        database.close()


@dataclass
class Workload:
    name: str
    step: Callable[[Field], Optional[float]]  # may tell its own time
    prepare: Callable[[Field], None] = lambda field: None
    cold: bool = False
    again: bool = False  # leaves nothing behind: done as often as it takes to tell its time


F = Field
# First whatever creates, then what looks, last what removes.
WORKLOADS = [
    Workload("create 4 KiB files", F.create, F.new_small),
    Workload("untar", F.untar, F.new_tree),
    Workload("git add + commit", F.git_add, F.need_tree),
    Workload("git status warm", F.git_status, F.known_git),
    Workload("git status cold", F.git_status, F.need_git, cold=True),
    Workload("grep -r warm", F.grep, F.known_tree),
    Workload("stat warm", F.stat, lambda f: f.known_small(F.stat), again=True),
    Workload("stat cold", F.stat, F.need_small, cold=True),
    Workload("stat of missing names", F.stat_missing,
        lambda f: f.known_small(F.stat_missing), again=True),
    Workload("readdir warm", F.names, lambda f: f.known_small(F.names), again=True),
    Workload("readdir cold", F.names, F.need_small, cold=True),
    Workload("readdir + stat warm", F.names_and_stat,
        lambda f: f.known_small(F.names_and_stat), again=True),
    Workload("readdir + stat cold", F.names_and_stat, F.need_small, cold=True),
    Workload("ls -l warm", F.ls, lambda f: f.known_small(F.ls), again=True),
    Workload("open + read + close warm", F.read_small,
        lambda f: f.known_small(F.read_small), again=True),
    Workload("append 512 bytes", F.append),
    Workload("sqlite NORMAL", lambda f: f.transactions("NORMAL")),
    Workload("sqlite FULL", lambda f: f.transactions("FULL")),
    Workload("write + fsync", F.write, F.no_large),
    Workload("overwrite + fsync", F.overwrite, F.old_large),
    Workload("read cold", F.read, F.need_large, cold=True),
    Workload("read warm", F.read, F.known_large, again=True),
    Workload("mmap read cold", F.read_mapped, F.need_large, cold=True),
    Workload("mmap read warm", F.read_mapped, F.known_large, again=True),
    Workload("random 4 KiB reads cold", F.random_reads_cold, F.need_large, cold=True),
    Workload("random 4 KiB reads warm", F.random_reads, F.known_large, again=True),
    Workload("random 4 KiB writes", F.random_writes, F.large_read_in),
    Workload("rename", F.rename, F.need_small),
    Workload("unlink", F.unlink, F.need_small),
    Workload("rm -rf", F.remove_tree, F.need_git),
]


# Those that ask about names and attributes more than about bytes.
METADATA = [one for one in WORKLOADS if one.name.startswith((
    "create", "untar", "git", "stat", "readdir", "ls", "open", "rename", "unlink", "rm"))]


def chosen(words, workloads=None):
    """The workloads whose name begins with one of the words, which commas part; all for None."""
    workloads = workloads or WORKLOADS
    if words is None:
        return workloads
    wanted = [word.strip() for word in words.split(",")]
    found = [one for one in workloads if any(one.name.startswith(word) for word in wanted)]
    if not found:
        raise RuntimeError("no such workload; there are: " + ", ".join(w.name for w in workloads))
    return found


def source_tree(folder, files):
    """A tar archive of a made-up source tree, always the same."""
    seeded = random.Random(files)
    words = ["let", "return", "value", "index", "(count)", "guard", "else {", "}", "self.table"]
    tree = os.path.join(folder, "tree")
    for index in range(files):
        inner = os.path.join(tree, f"part{index % 23}", f"piece{index % 5}")
        os.makedirs(inner, exist_ok=True)
        with open(os.path.join(inner, f"file{index}.swift"), "w") as file:
            # Most a few KiB, some tens.
            for line in range(int(seeded.lognormvariate(4.3, 0.9))):
                file.write(f"    {' '.join(seeded.choices(words, k=6))} // {line}\n")
    archive = os.path.join(folder, "tree.tar")
    subprocess.run(["tar", "-cf", archive, "-C", tree, "."], check=True)
    shutil.rmtree(tree)
    return archive
