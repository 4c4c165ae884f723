"""Files kept open, written here and there, and synced in every way there is. After a crash each byte
must be what was synced, or what a later write that was not synced put there.
"""
import ctypes
import errno
import mmap
import os
import subprocess
import sys

from device import Failure
from work import Worker

libc = ctypes.CDLL(None, use_errno=True)
WAIT_AND_WRITE = 1 | 2 | 4


class Record:
    """What one file was promised to hold, and what was written since."""

    def __init__(self):
        self.bytes = bytearray()
        # (offset, bytes), or (None, size) for a truncation.
        self.since = []

    def write(self, offset, data):
        self.since.append((offset, data))

    def resize(self, size):
        self.since.append((None, size))

    def synced(self):
        for offset, what in self.since:
            apply(self.bytes, offset, what)
        self.since = []

    def sizes(self):
        size = len(self.bytes)
        sizes = {size}
        for offset, what in self.since:
            size = what if offset is None else max(size, offset + len(what))
            sizes.add(size)
            if offset is not None:
                # A write may have come through in part.
                sizes.update(range(offset, offset + len(what), 1) if len(what) < 8 else ())
        return sizes, max(sizes), min(sizes)

    def check(self, found):
        """Returns what is wrong, or None."""
        if not self.since:
            if found == self.bytes:
                return None
            return f"{len(found)} bytes instead of {len(self.bytes)}; " + first(found, self.bytes)
        _, largest, smallest = self.sizes()
        if not smallest <= len(found) <= largest:
            return f"{len(found)} bytes, where {smallest} to {largest} may be"
        if bytes(found[:len(self.bytes)]) == bytes(self.bytes[:len(found)]):
            return None
        # What may stand at each byte: bit by bit, which of the writes it could come from.
        allowed = bytearray(len(found))
        for index in range(min(len(found), len(self.bytes))):
            allowed[index] = found[index] == self.bytes[index]
        for index in range(len(self.bytes), len(found)):
            allowed[index] = found[index] == 0
        for offset, what in self.since:
            if offset is None:
                for index in range(min(what, len(found)), len(found)):
                    allowed[index] |= found[index] == 0
                continue
            for index, byte in enumerate(what, start=offset):
                if index < len(found):
                    allowed[index] |= found[index] == byte
        wrong = allowed.find(0)
        return None if wrong < 0 else f"byte {wrong} was never {found[wrong]} since the last sync"


def apply(target, offset, what):
    if offset is None:
        del target[what:]
        target.extend(bytes(what - len(target)))
    else:
        if len(target) < offset:
            target.extend(bytes(offset - len(target)))
        target[offset:offset + len(what)] = what


def first(found, wanted):
    for index, (left, right) in enumerate(zip(found, wanted)):
        if left != right:
            return f"the first that differs is {index}"
    return "one is the beginning of the other"


class FileWorker(Worker):
    COUNT = 6

    def __init__(self, folder, random, records=None):
        super().__init__(folder, random)
        self.records = records if records is not None else {}
        self.saved = {}
        self.open = {}
        self.mapper = None

    def end(self):
        if self.mapper is not None:
            self.mapper.kill()
            self.mapper.communicate()
            self.mapper = None
        for file, _ in self.open.values():
            try:
                os.close(file)
            except OSError:
                pass

    def path(self, name):
        return os.path.join(self.folder, name)

    def step(self):
        name = f"f{self.random.randrange(self.COUNT)}"
        if self.random.random() < 0.12:
            return self.save(f"s{self.random.randrange(3)}")
        if name not in self.open:
            flags = self.random.choice([0, 0, 0, os.O_SYNC, os.O_DSYNC, os.O_APPEND])
            file = os.open(self.path(name), os.O_RDWR | os.O_CREAT | flags, 0o644)
            self.open[name] = (file, flags)
            if name not in self.records:
                os.fsync(file)
                self.sync_folder()
                self.records[name] = Record()
        file, flags = self.open[name]
        self.random.choices(
            [self.write, self.sync, self.close, self.truncate, self.map],
            [10, 3, 2, 1, 1])[0](name, file, flags)

    def write(self, name, file, flags):
        record = self.records[name]
        size = os.fstat(file).st_size
        if size > 2_000_000:
            return self.truncate(name, file, flags)
        data = self.bytes(self.random.choice([1, 37, 512, 4096, 4097, 20_000, 200_000]))
        if flags == os.O_APPEND:
            record.write(size, data)
            done = os.write(file, data)
        else:
            at = self.random.randrange(0, size + 1)
            record.write(at, data)
            done = os.pwrite(file, data, at)
        if done != len(data):
            # The mount went away in the middle.
            raise OSError(errno.EIO, f"{name}: a write of {len(data)} bytes wrote {done}")
        if flags in (os.O_SYNC, os.O_DSYNC):
            record.synced()

    def sync(self, name, file, flags):
        kind = self.random.randrange(6)
        if kind <= 2:
            os.fsync(file)
        elif kind == 3:
            os.fdatasync(file)
        elif kind == 4:
            # It promises nothing; it must do no harm.
            if libc.sync_file_range(file, ctypes.c_long(0), ctypes.c_long(0), WAIT_AND_WRITE) != 0:
                raise OSError(ctypes.get_errno(), "sync_file_range")
            return
        else:
            again = os.open(self.path(name), os.O_RDONLY)
            try:
                os.fsync(again)
            finally:
                os.close(again)
        self.records[name].synced()

    def close(self, name, file, flags):
        del self.open[name]
        os.close(file)

    def truncate(self, name, file, flags):
        size = self.random.randrange(0, os.fstat(file).st_size + 5000)
        self.records[name].resize(size)
        os.ftruncate(file, size)

    def map(self, name, file, flags):
        """Through shared memory, msync."""
        size = os.fstat(file).st_size
        if size == 0:
            return
        length = min(size, 100_000)
        at = self.random.randrange(0, length)
        data = self.bytes(self.random.randrange(1, length - at + 1))
        self.records[name].write(at, data)
        if self.mapper is None:
            self.mapper = subprocess.Popen(
                [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL, text=True)
        is_synced = self.random.random() < 0.7
        try:
            print(self.path(name), at, data.hex(), int(is_synced), file=self.mapper.stdin,
                  flush=True)
            answer = self.mapper.stdout.readline()
        except OSError:
            answer = ""
        if not answer:
            # It went down with the mount.
            raise OSError(errno.ENOTCONN, "mapped memory")
        if is_synced:
            self.records[name].synced()

    def save(self, name):
        """Replaces a file whole: the old or the new, never another; synced before the rename."""
        data = self.bytes(self.size())
        temporary = self.path(name + ".new")
        file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        try:
            done = 0
            while done < len(data):
                done += os.write(file, data[done:])
            os.fsync(file)
        finally:
            os.close(file)
        old = self.saved.setdefault(name, [None])
        old.append(data)
        os.rename(temporary, self.path(name))
        if self.random.random() < 0.5:
            self.sync_folder()
            self.saved[name] = [data]

    def sync_folder(self):
        folder = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def verify(self):
        problems = []
        for name, record in sorted(self.records.items()):
            try:
                with open(self.path(name), "rb") as file:
                    found = file.read()
            except OSError as error:
                problems.append(f"{name}: {error}")
                continue
            wrong = record.check(found)
            if wrong:
                problems.append(f"{name}: {wrong} ({len(record.since)} writes not synced)")
            record.bytes, record.since = bytearray(found), []
        for name, allowed in sorted(self.saved.items()):
            try:
                with open(self.path(name), "rb") as file:
                    found = file.read()
            except FileNotFoundError:
                found = None
            if found not in allowed:
                size = None if found is None else len(found)
                problems.append(f"{name}: {size} bytes, which is none of the last"
                                f" {len(allowed)} saves")
            self.saved[name] = [found]
        if problems:
            raise Failure(f"{self.folder}: " + "; ".join(problems))


def map_memory():
    """Stores into mapped files as it is told: what is mapped may vanish under whoever does that."""
    for line in sys.stdin:
        path, at, data, is_synced = line.rsplit(" ", 3)
        at, data = int(at), bytes.fromhex(data)
        file = os.open(path, os.O_RDWR)
        try:
            with mmap.mmap(file, at + len(data)) as memory:
                memory[at:at + len(data)] = data
                if int(is_synced):
                    # msync for the mapped pages, and what was written in other ways.
                    memory.flush()
                    os.fdatasync(file)
        finally:
            os.close(file)
        print("done", flush=True)


if __name__ == "__main__":
    map_memory()
