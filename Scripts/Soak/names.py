"""Programs that change names at random on all mounts at once, and what the mounts show afterwards."""
import ctypes
import errno
import hashlib
import json
import os
import random
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time

import tree
from device import Device, Failure

# Few names, so that devices meet.
POOL = ["a", "b", "c", "d", "e.txt", "f.txt", "g"]
DEPTH_MAX = 3
FOLDERS_MAX = 12
AGREEMENT = 90
# What the kernel is told a moment later is no difference.
SHOWING = 4
NO_REPLACE, EXCHANGE = 1, 2
REMOUNT_EVERY = 12
libc = ctypes.CDLL(None, use_errno=True)


def rename(path, other, flags):
    if libc.renameat2(-100, os.fsencode(path), -100, os.fsencode(other), flags) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), path)


class Hands:
    """What one device's programs do."""

    WEIGHTS = {
        "create": 12, "write": 6, "append": 5, "save": 4, "move": 12, "move_folder": 8, "exchange": 5,
        "move_twice": 6, "move_folder_twice": 6, "move_back": 3, "ring": 3, "make_folder": 10,
        "remove_folder": 3, "remove_tree": 4, "remove": 8, "link": 6, "symlink": 4, "chmod": 3,
        "chmod_folder": 1, "set_time": 3, "keep": 2, "let_go": 2, "make_deep": 3, "no_replace": 2,
        "set_attribute": 2, "make_anew": 4, "make_folder_anew": 3, "fifo": 1, "make_many": 1}

    def __init__(self, device, chance, note):
        self.device, self.random, self.note = device, chance, note
        self.root = device.mount_point
        self.open = []

    # MARK: Where

    def folders(self):
        return tree.folders(self.root, depth_max=DEPTH_MAX)

    def old(self, kind=None):
        """A path that is there, or was a moment ago: of a `folder`, of no folder, or of any."""
        for _ in range(4):
            try:
                items = [item for item in os.scandir(self.random.choice(self.folders()))
                         if item.name != ".holdfast"
                         and kind in (None, "folder" if item.is_dir(follow_symlinks=False) else "file")]
            except OSError:
                continue
            if items:
                return self.random.choice(items).path
        raise OSError(errno.ENOENT, "nothing is there")

    def new(self):
        name = self.random.choice(POOL)
        if self.random.random() < 0.07:
            name = f"{self.device.name} {self.random.randrange(1000)}"
        return os.path.join(self.random.choice(self.folders()), name)

    def put(self, path, flags):
        size = self.random.choice([0, 1, 10, 500, 4096, 5000, 20000])
        if self.random.random() < 0.05:
            size = 200000
        flags |= os.O_NOFOLLOW | os.O_NONBLOCK
        file = os.open(path, flags, 0o644)
        try:
            os.write(file, f"{self.device.name} {self.random.random()}\n".encode()
                     + self.random.randbytes(size))
        finally:
            if self.random.random() < 0.03:
                self.open.append(file)
            else:
                os.close(file)

    def close_all(self):
        while self.open:
            os.close(self.open.pop())

    # MARK: What

    def step(self):
        weights = dict(self.WEIGHTS)
        if len(self.folders()) > FOLDERS_MAX:
            weights["remove_tree"] += 30
            weights["remove"] += 20
        what = self.random.choices(list(weights), list(weights.values()))[0]
        self.paths = []
        begun, result = time.monotonic(), "done"
        try:
            getattr(self, what)()
        except OSError as error:
            result = errno.errorcode.get(error.errno, str(error))
            if error.errno == errno.ESTALE:
                raise Failure(f"{self.device.name}: {what} {self.paths}: ESTALE")
        except shutil.Error as error:
            result = str(error)[:80]
        self.note([round(begun, 4), round(time.monotonic(), 4), self.device.name, what,
                   [os.path.relpath(path, self.root) for path in self.paths], result])

    def at(self, path):
        self.paths.append(path)
        return path

    def create(self):
        self.put(self.at(self.new()), os.O_CREAT | os.O_WRONLY | os.O_EXCL)

    def write(self):
        self.put(self.at(self.old("file")), os.O_WRONLY | os.O_TRUNC)

    def append(self):
        self.put(self.at(self.old("file")), os.O_WRONLY | os.O_APPEND)

    def save(self):
        path = self.at(self.old("file"))
        self.put(path + ".tmp", os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
        os.rename(path + ".tmp", path)

    def move(self):
        os.rename(self.at(self.old()), self.at(self.new()))

    def move_folder(self):
        os.rename(self.at(self.old("folder")), self.at(self.new()))

    def exchange(self):
        rename(self.at(self.old()), self.at(self.old()), EXCHANGE)

    def no_replace(self):
        rename(self.at(self.old()), self.at(self.new()), NO_REPLACE)

    def move_twice(self, kind=None):
        first, second, third = self.at(self.old(kind)), self.at(self.new()), self.at(self.new())
        os.rename(first, second)
        if self.random.random() < 0.7:
            time.sleep(self.random.choice([0.002, 0.005, 0.01, 0.02, 0.06]))
        os.rename(second, third)
        if self.random.random() < 0.3:
            os.rename(third, first)

    def move_folder_twice(self):
        self.move_twice("folder")

    def move_back(self):
        path, other = self.at(self.old()), self.at(self.new())
        os.rename(path, other)
        time.sleep(self.random.choice([0, 0.01, 0.03]))
        os.rename(other, path)

    def ring(self):
        first, second, third = self.at(self.old()), self.at(self.old()), self.at(self.old())
        aside = os.path.join(self.root, "aside " + self.device.name)
        for path, other in [(first, aside), (second, first), (third, second), (aside, third)]:
            rename(path, other, NO_REPLACE)

    def make_folder(self):
        os.mkdir(self.at(self.new()))

    def remove_folder(self):
        os.rmdir(self.at(self.old("folder")))

    def remove_tree(self):
        shutil.rmtree(self.at(self.old("folder")))

    def remove(self):
        os.unlink(self.at(self.old("file")))

    def link(self):
        os.link(self.at(self.old("file")), self.at(self.new()), follow_symlinks=False)

    def symlink(self):
        os.symlink(self.random.choice(POOL), self.at(self.new()))

    def chmod(self):
        os.chmod(self.at(self.old("file")), self.random.choice([0o644, 0o600, 0o755, 0o444]))

    def chmod_folder(self):
        os.chmod(self.at(self.old("folder")), self.random.choice([0o755, 0o700, 0o750]))

    def set_time(self):
        times = (10**18, self.random.randrange(10**18, 2 * 10**18))
        os.utime(self.at(self.old()), ns=times, follow_symlinks=False)

    def keep(self):
        flags = self.random.choice([os.O_RDONLY, os.O_RDWR]) | os.O_NOFOLLOW | os.O_NONBLOCK
        self.open.append(os.open(self.at(self.old("file")), flags))

    def let_go(self):
        if self.open:
            os.close(self.open.pop(self.random.randrange(len(self.open))))

    def make_deep(self):
        path = self.at(self.new())
        os.makedirs(path + "/d/c", exist_ok=True)
        for name in ["/d/c/a", "/a"]:
            self.put(path + name, os.O_CREAT | os.O_WRONLY)

    def set_attribute(self):
        os.setxattr(self.at(self.old("file")), "user.t", self.random.randbytes(5))

    def make_anew(self):
        path = self.at(self.old("file"))
        os.unlink(path)
        self.put(path, os.O_CREAT | os.O_WRONLY | os.O_EXCL)

    def make_folder_anew(self):
        path = self.at(self.old("folder"))
        shutil.rmtree(path)
        os.mkdir(path)
        self.put(path + "/a", os.O_CREAT | os.O_WRONLY)

    def fifo(self):
        os.mkfifo(self.at(self.new()))

    def make_many(self):
        """More than one reading of a listing brings."""
        folder = self.at(self.random.choice(self.folders()))
        count = self.random.choice([20, 60, 300])
        for number in range(count):
            self.put(f"{folder}/m{number}", os.O_CREAT | os.O_WRONLY)
        if self.random.random() < 0.7 or count > 100:
            for number in range(count):
                try:
                    os.unlink(f"{folder}/m{number}")
                except OSError:
                    pass


def shown(root, probes):
    """What a mount shows: relative path to kind, mode, links, time and bytes; under `wrong` what cannot be.

    - probes: whether names that are not listed are looked up, too.
    """
    found, wrong, folders = {}, [], [""]
    for folder in folders:
        full = os.path.join(root, folder)
        try:
            names = sorted(os.listdir(full))
        except OSError as error:
            wrong.append([folder, "is not listed", error.errno])
            continue
        for name in POOL if probes else []:
            if name not in names and os.path.lexists(os.path.join(full, name)):
                wrong.append([os.path.join(folder, name), "opens and is not listed", 0])
        for name in names:
            if folder == "" and name == ".holdfast":
                continue
            path = os.path.join(folder, name)
            try:
                found[path] = entry(os.path.join(root, path))
            except OSError as error:
                wrong.append([path, "is listed and does not open", error.errno])
                continue
            if found[path][0].startswith("0o4"):
                folders.append(path)
    return {"found": found, "wrong": wrong}


def entry(path):
    status = os.lstat(path)
    said = [oct(status.st_mode), status.st_nlink, status.st_mtime_ns]
    if stat.S_ISLNK(status.st_mode):
        said.append(os.readlink(path))
    if stat.S_ISREG(status.st_mode):
        with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
            data = file.read()
        said += [status.st_size, len(data), hashlib.sha256(data).hexdigest()[:12]]
    return said


def differences(first, second):
    one, other = first["found"], second["found"]
    return [[path, one.get(path), other.get(path)]
            for path in sorted(one.keys() | other.keys()) if one.get(path) != other.get(path)]


class Names:
    """Rounds of random changes; after each, when all devices have the same share, all mounts must show it."""

    def __init__(self, place, program, count, seed, folder, log):
        self.place, self.seed, self.log = place, seed, log
        self.folder = folder or os.environ.get("TMPDIR", "/tmp")
        self.random = random.Random(seed)
        self.devices = [Device(place, name, program, "direct")
                        for name in ["alice", "bob", "carol", "dave"][:count]]
        link = self.devices[0].create()
        for device in self.devices[1:]:
            device.join(link)
            link = device.run("invite", device.mount_point).stdout.strip()
        self.calls, self.lock = [], threading.Lock()
        self.hands = [Hands(device, self.chance(), self.note) for device in self.devices]
        self.readers = []
        self.round = self.faults = 0

    def chance(self):
        return random.Random(self.random.getrandbits(64))

    def note(self, call):
        with self.lock:
            self.calls.append([self.round] + call)

    # MARK: Readers

    def start_readers(self):
        program = os.path.join(os.path.dirname(os.path.abspath(__file__)), "readers.py")
        for device in self.devices:
            for _ in range(self.random.choice([0, 1, 1, 2])):
                seed = str(self.random.getrandbits(30))
                words = [sys.executable, "-B", program, device.mount_point, seed]
                self.readers.append(self.place.start(words))

    def end_readers(self):
        for reader in self.readers:
            reader.kill()
            reader.wait()
        self.readers = []

    # MARK: Rounds

    def run(self, rounds, deadline):
        """- rounds: None for as many as there is time for."""
        self.start_readers()
        self.await_agreement()
        while (rounds is None or self.round < rounds) and time.monotonic() < deadline:
            self.change()
            self.await_agreement()
            trees, wrong = self.compare(probes=self.random.random() < 0.5)
            if wrong and any(hands.open for hands in self.hands):
                # A file that a program has open may be kept as it was, until that closes it.
                self.close_all()
                trees, wrong = self.compare(probes=True)
            if wrong:
                self.explain(trees, wrong)
            elif self.round % REMOUNT_EVERY == REMOUNT_EVERY - 1:
                self.remount()
            self.round += 1
            with self.lock:
                self.calls = [call for call in self.calls if call[0] > self.round - 4]
            if self.round % 50 == 0:
                self.log(f"{self.round} rounds, {self.faults} lasting differences")
        self.close_all()
        self.end_readers()
        for device in self.devices:
            device.stop()
        return self.round, self.faults

    def change(self):
        paused = []
        if self.random.random() < 0.3:
            paused = [device for device in self.devices if self.random.random() < 0.5]
        for device in paused:
            device.run("pause", device.mount_point)
        pause = self.random.choice([0, 0, 0.003, 0.02])
        count = self.random.choice([2, 4, 8, 15])
        working = self.hands if self.random.random() < 0.7 else [self.random.choice(self.hands)]
        failures = []

        def work(hands):
            try:
                for _ in range(count):
                    hands.step()
                    if pause:
                        time.sleep(hands.random.random() * pause * 2)
            except Failure as failure:
                failures.append(failure)

        threads = [threading.Thread(target=work, args=(hands,)) for hands in working]
        for thread in threads:
            thread.start()
        if self.random.random() < 0.3:
            self.freeze(self.random.choice(self.devices))
        for thread in threads:
            thread.join()
        for device in paused:
            device.run("resume", device.mount_point)
        for failure in failures:
            self.report("failure", str(failure))
        if self.random.random() < 0.3:
            self.close_all()

    def freeze(self, device):
        """A daemon that gets no processor for a while, as on a busy machine."""
        time.sleep(self.random.random() * 0.05)
        device.daemon.send_signal(signal.SIGSTOP)
        time.sleep(self.random.choice([0.01, 0.05, 0.2]))
        device.daemon.send_signal(signal.SIGCONT)

    def close_all(self):
        for hands in self.hands:
            hands.close_all()
        self.await_agreement()

    def await_agreement(self):
        end = time.monotonic() + AGREEMENT
        while True:
            said = [device.status() for device in self.devices]
            if len({one["digest"] for one in said}) == 1 and not any(
                    sum(one["pending"].values()) for one in said):
                return
            if time.monotonic() > end:
                states = [(one["digest"][:8], one["pending"]) for one in said]
                raise Failure(f"round {self.round}: the devices do not agree: {states}")
            time.sleep(0.03)

    def compare(self, probes):
        """Returns what the mounts show, and what of it is another than on the first, or wrong by itself."""
        end = time.monotonic() + SHOWING
        while True:
            trees = [shown(device.mount_point, probes) for device in self.devices]
            wrong = {}
            for device, tree in zip(self.devices, trees):
                lines = tree["wrong"] + differences(trees[0], tree)
                if lines:
                    wrong[device.name] = lines
            if not wrong:
                return trees, None
            if time.monotonic() > end:
                return trees, wrong
            time.sleep(0.2)

    def remount(self):
        """What a mount shows it shows from the start, too."""
        self.close_all()
        self.end_readers()
        time.sleep(0.2)
        before, _ = self.compare(probes=True)
        device = self.random.choice(self.devices)
        self.again(device)
        after, wrong = self.compare(probes=True)
        changed = differences(before[0], after[0])
        if wrong or changed:
            self.report("mounted again", [device.name, wrong, changed])
        self.start_readers()

    def again(self, device):
        device.stop()
        device.serve("mount", device.mount_point)
        self.await_agreement()

    # MARK: Differences

    def explain(self, trees, wrong):
        """Says whose kernel is wrong: fresh mounts tell."""
        self.end_readers()
        stale, still = {}, {}
        for device, tree in zip(self.devices, trees):
            self.again(device)
            now = shown(device.mount_point, True)
            stale[device.name] = differences(tree, now)
            still[device.name] = now["wrong"]
        self.report("difference", {"wrong": wrong, "shown before and now": stale, "wrong still": still})
        self.start_readers()

    def report(self, kind, detail):
        self.faults += 1
        path = os.path.join(self.folder, f"holdfast-names-{self.seed}-{self.round}-{kind[:4]}.json")
        with self.lock, open(path, "w") as file:
            json.dump({"kind": kind, "detail": detail, "calls": self.calls}, file, indent=0)
        self.log(f"round {self.round}: {kind}: {str(detail)[:500]} ({path})")
