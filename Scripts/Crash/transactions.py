"""SQLite on the mount: every commit that was promised to be durable is there after a crash, and the
database is whole.
"""
import os
import random
import sqlite3
import subprocess
import sys

from device import Failure
from work import Worker

# Journal mode, synchronous, whether a commit that returned is promised to be there. In DELETE mode it
# is the journal's removal that commits, and only EXTRA syncs the folder after it.
SETTINGS = [
    ("WAL", "FULL", True), ("WAL", "NORMAL", False), ("DELETE", "EXTRA", True),
    ("DELETE", "FULL", False), ("TRUNCATE", "FULL", True), ("PERSIST", "FULL", True),
    ("DELETE", "NORMAL", False)]


class TransactionWorker(Worker):
    """One database, one setting; a program of its own, as what it maps may vanish under it."""

    def __init__(self, folder, random, setting, acknowledged=0):
        super().__init__(folder, random)
        self.journal, self.synchronous, self.is_promised = setting
        self.file = os.path.join(folder, f"{self.journal}-{self.synchronous}.db")
        self.acknowledged = acknowledged
        self.tried = acknowledged
        self.program = None

    def connect(self):
        return connect(self.file, self.journal, self.synchronous)

    def step(self):
        """The next word of the program: what it is about to write, or what is committed."""
        if self.program is None:
            self.program = subprocess.Popen(
                [sys.executable, __file__, self.file, self.journal, self.synchronous,
                 str(self.tried), str(self.random.getrandbits(32))],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        word, _, number = self.program.stdout.readline().partition(" ")
        if word == "tries":
            self.tried = int(number)
        elif word == "has":
            self.acknowledged = int(number)
        elif word == "failed" and not self.may_break:
            raise Failure(f"{os.path.basename(self.file)}: {number}")
        else:
            self.is_over.set()

    def end(self):
        if self.program is None:
            return
        self.program.kill()
        # What it said before its end counts.
        for line in self.program.stdout.read().splitlines():
            word, _, number = line.partition(" ")
            if word == "tries":
                self.tried = int(number)
            elif word == "has":
                self.acknowledged = int(number)
        self.program.wait()
        self.program = None

    def verify(self):
        name = os.path.basename(self.file)
        before = self.readings()
        if not os.path.exists(self.file):
            if self.acknowledged and self.is_promised:
                raise Failure(f"{name} is gone with {self.acknowledged} rows")
            self.acknowledged = self.tried = 0
            return
        try:
            connection = self.connect()
            whole = connection.execute("PRAGMA integrity_check").fetchall()
            if whole != [("ok",)]:
                raise Failure(f"{name}: {whole[:3]}")
            rows = connection.execute("SELECT number, text FROM promise ORDER BY number").fetchall()
            if len(rows) > 1500:
                connection.execute(
                    "DELETE FROM promise WHERE number % 7 != 0 AND number != ?", (rows[-1][0],))
            connection.close()
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorname", "")
            raise Failure(f"{name}: {error} {code}; {self.readings()}")
        last = rows[-1][0] if rows else 0
        for number, bytes in rows:
            if bytes != text(number, len(bytes)):
                raise Failure(f"{name}: row {number} is not what was written")
        if self.is_promised and last < self.acknowledged:
            raise Failure(
                f"{name}: row {self.acknowledged} was promised, {last} is the last;"
                f" it was {before}")
        if last > self.tried:
            raise Failure(f"{name}: row {last} was never written")
        # The rows of one transaction come together: it is a row that ends one, which the
        # numbers after a restart follow.
        self.acknowledged = self.tried = last


    def readings(self):
        """What plain reads of the database's files say."""
        told = []
        for name in sorted(os.listdir(self.folder)):
            if not name.startswith(os.path.basename(self.file)):
                continue
            try:
                with open(os.path.join(self.folder, name), "rb") as file:
                    told.append(f"{name}: {len(file.read())} bytes")
            except OSError as error:
                told.append(f"{name}: {error}")
        return ", ".join(told)


def text(number, size):
    block = f"{number} ".encode() * 100
    return (block * (size // len(block) + 1))[:size]


def connect(file, journal, synchronous):
    connection = sqlite3.connect(file, isolation_level=None, timeout=20)
    connection.execute(f"PRAGMA journal_mode = {journal}")
    connection.execute(f"PRAGMA synchronous = {synchronous}")
    connection.execute("PRAGMA cache_size = 20")
    connection.execute(
        "CREATE TABLE IF NOT EXISTS promise (number INTEGER PRIMARY KEY, text BLOB)")
    return connection


def work(file, journal, synchronous, last, seed):
    """Several rows at a time, which must come together, and old ones changed, so that pages are
    reused. Says what it does."""
    chance = random.Random(seed)
    folder = os.path.dirname(file)
    try:
        connection = connect(file, journal, synchronous)
        while True:
            connection.execute("BEGIN IMMEDIATE")
            count = chance.choice([1, 1, 1, 5, 60])
            print(f"tries {last + count}", flush=True)
            for number in range(last + 1, last + count + 1):
                connection.execute(
                    "INSERT INTO promise VALUES (?, ?)",
                    (number, text(number, chance.randrange(10, 3000))))
            connection.execute(
                "UPDATE promise SET text = ? WHERE number = ?", (text(last, 500), last))
            connection.execute("COMMIT")
            last += count
            if synchronous == "EXTRA":
                # SQLite takes a folder that it cannot open, to sync it, for synced.
                os.statvfs(folder)
            print(f"has {last}", flush=True)
    except (sqlite3.Error, OSError) as error:
        # A mount that is gone shows as one of these; one that is there must not.
        try:
            os.statvfs(folder)
        except OSError:
            return
        print(f"failed {error!r}", flush=True)


if __name__ == "__main__":
    work(*sys.argv[1:4], int(sys.argv[4]), int(sys.argv[5]))
