"""A random load on names and contents. Whatever a crash leaves of one thread's work must be what
was there after one of its steps, and after the last sync at the earliest: a prefix, with no holes.
"""
import hashlib
import os
import stat
import threading

from device import Failure
from work import Worker

ATTRIBUTE = "user.note"


def agree(wanted, found):
    """Whether what is found is what is wanted, or what it may still be."""
    while wanted is not None and found is not None and len(wanted) > 3:
        if wanted[:3] == found:
            return True
        wanted = wanted[3]
    return wanted == found


def chained(value, instead):
    """The value, that may also show as another or what that may show as."""
    return (*value[:3], instead) if len(value) == 3 else (*value[:3], chained(value[3], instead))


def digest(data):
    return (len(data), hashlib.sha256(data).hexdigest()[:16])


class NameWorker(Worker):
    """`model` is what the folder holds; `log` what each step since the last sync made of it.

    A file is `("file", size, hash)`, and a fourth part is what it may show instead until it is synced:
    a crash may take contents of the last second, and never a mixture.
    """

    def __init__(self, folder, random, model=None):
        super().__init__(folder, random)
        self.model = model if model is not None else {"": ("dir",)}
        self.start_model = dict(self.model)
        self.log = []
        self.lock = threading.Lock()
        self.count = random.randrange(1 << 30)

    # Each change is noted before the call that makes it, as the crash may come behind it.

    def changed(self, changes):
        with self.lock:
            self.log.append(changes)
        for name, what in changes.items():
            if what is None:
                self.model.pop(name, None)
            else:
                self.model[name] = what

    def synced(self):
        with self.lock:
            self.start_model = dict(self.model)
            self.log = []

    def path(self, name):
        return os.path.join(self.folder, name) if name else self.folder

    def pick(self, *kinds):
        names = sorted(name for name, what in self.model.items() if what[0] in kinds and name)
        return self.random.choice(names) if names else None

    def fresh(self):
        folders = sorted(name for name, what in self.model.items() if what[0] == "dir")
        self.count += 1
        return os.path.join(self.random.choice(folders), f"n{self.count}").lstrip("/")

    def step(self):
        actions = [
            (8, self.write), (4, self.append), (3, self.overwrite), (2, self.truncate),
            (3, self.make_folder), (3, self.rename), (3, self.save), (4, self.unlink),
            (2, self.remove_folder), (1, self.symlink), (2, self.link), (1, self.mode),
            (2, self.sync_file), (1, self.sync_folder), (1, self.many)]
        weights = [weight for weight, _ in actions]
        if len(self.model) > 60:
            weights[7] = 30
        self.random.choices([action for _, action in actions], weights)[0]()

    def holding(self, data, *instead):
        """What a file with these bytes is, that may show one of others instead."""
        value = ("file", *digest(data))
        for old in instead:
            if old is not None:
                value = chained(value, old)
        return value

    def put(self, name, data, flags):
        """Writes and closes a file. In between it may show empty, or as it was."""
        self.changed({name: ("file", *digest(b""))})
        self.changed({name: self.holding(data, self.model[name])})
        self.store(name, data, flags)

    def store(self, name, data, flags):
        file = os.open(self.path(name), flags | os.O_WRONLY, 0o644)
        try:
            done = 0
            while done < len(data):
                done += os.write(file, data[done:])
        finally:
            os.close(file)

    def write(self):
        self.put(self.fresh(), self.bytes(self.size()), os.O_CREAT | os.O_EXCL)

    def linked(self, name):
        """Whether the file has other names: then a change shows under all of them."""
        return os.lstat(self.path(name)).st_nlink > 1

    def append(self):
        name = self.pick("file")
        if name is None or self.linked(name):
            return
        with open(self.path(name), "rb") as file:
            old = file.read()
        data = self.bytes(self.random.randrange(1, 5000))
        self.changed({name: self.holding(old + data, self.model[name])})
        self.store(name, data, os.O_APPEND)

    def overwrite(self):
        name = self.pick("file")
        if name is None or self.linked(name):
            return
        with open(self.path(name), "rb") as file:
            old = file.read()
        at = self.random.randrange(0, len(old) + 1)
        data = self.bytes(self.random.randrange(1, 5000))
        new = old[:at] + data + old[at + len(data):]
        self.changed({name: self.holding(new, self.model[name])})
        file = os.open(self.path(name), os.O_WRONLY)
        try:
            os.pwrite(file, data, at)
        finally:
            os.close(file)

    def truncate(self):
        name = self.pick("file")
        if name is None or self.linked(name):
            return
        with open(self.path(name), "rb") as file:
            old = file.read()
        size = self.random.randrange(0, len(old) + 3000)
        new = old[:size] + bytes(max(0, size - len(old)))
        # Nobody closes it after that: what it held may come back within a second.
        self.changed({name: chained(("file", *digest(new)), self.model[name])})
        os.truncate(self.path(name), size)

    def make_folder(self):
        name = self.fresh()
        self.changed({name: ("dir",)})
        os.mkdir(self.path(name))

    def rename(self):
        name = self.pick("file", "link", "dir")
        if name is None:
            return
        target = self.fresh()
        if (target + "/").startswith(name + "/"):
            return
        moved = {name: None, target: self.model[name]}
        for below, what in list(self.model.items()):
            if below.startswith(name + "/"):
                moved[below] = None
                moved[target + below[len(name):]] = what
        self.changed(moved)
        os.rename(self.path(name), self.path(target))

    def save(self):
        """As an editor: a new file, perhaps synced, renamed over the old one."""
        name = self.pick("file")
        if name is None:
            return
        temporary = name + ".tmp"
        if temporary in self.model:
            return
        data = self.bytes(self.size())
        self.put(temporary, data, os.O_CREAT | os.O_EXCL)
        if self.random.random() < 0.5:
            self.fsync(temporary)
            self.model[temporary] = self.model[temporary][:3]
            self.synced()
            value = self.model[temporary]
        else:
            value = self.holding(data, self.model[temporary], self.model[name])
        self.changed({temporary: None, name: value})
        os.rename(self.path(temporary), self.path(name))

    def unlink(self):
        name = self.pick("file", "link")
        if name is None:
            return
        self.changed({name: None})
        os.unlink(self.path(name))

    def remove_folder(self):
        name = self.pick("dir")
        if name is None or any(other.startswith(name + "/") for other in self.model):
            return
        self.changed({name: None})
        os.rmdir(self.path(name))

    def symlink(self):
        name = self.fresh()
        target = "to/" + str(self.count) * self.random.randrange(1, 30)
        self.changed({name: ("link", target)})
        os.symlink(target, self.path(name))

    def link(self):
        old = self.pick("file")
        if old is None:
            return
        name = self.fresh()
        self.changed({name: self.model[old]})
        os.link(self.path(old), self.path(name))

    def mode(self):
        """Attributes are not in the model: they must not stand in the way of anything."""
        name = self.pick("file")
        if name is not None:
            os.chmod(self.path(name), self.random.choice([0o600, 0o644, 0o755]))
            os.setxattr(self.path(name), ATTRIBUTE, self.bytes(20))

    def many(self):
        """More than fits a block of the log."""
        name = self.fresh()
        self.changed({name: ("dir",)})
        os.mkdir(self.path(name))
        for number in range(self.random.randrange(20, 60)):
            self.put(f"{name}/{number}", self.bytes(number), os.O_CREAT | os.O_EXCL)
        for number in range(20):
            self.changed({f"{name}/{number}": None})
            os.unlink(self.path(f"{name}/{number}"))

    def fsync(self, name):
        file = os.open(self.path(name), os.O_RDONLY)
        try:
            os.fsync(file)
        finally:
            os.close(file)

    def sync_file(self):
        name = self.pick("file")
        if name is not None:
            self.fsync(name)
            for other, what in self.model.items():
                # Under all of its names.
                if what[:3] == self.model[name][:3] and what[0] == "file":
                    self.model[other] = what[:3]
            self.synced()

    def sync_folder(self):
        self.fsync(self.pick("dir") or "")
        self.synced()

    # After the crash

    def verify(self):
        """Raises unless the folder is one that it was. Work may go on from what is there."""
        found = listing(self.folder)
        model = dict(self.start_model)
        wrong = {name for name in model.keys() | found.keys()
                 if not agree(model.get(name), found.get(name))}
        least = (len(wrong), dict(model), set(wrong), 0)
        for number, changes in enumerate(self.log, start=1):
            if not wrong:
                break
            for name, what in changes.items():
                if what is None:
                    model.pop(name, None)
                else:
                    model[name] = what
                if agree(model.get(name), found.get(name)):
                    wrong.discard(name)
                else:
                    wrong.add(name)
            if len(wrong) < least[0]:
                least = (len(wrong), dict(model), set(wrong), number)
        if wrong:
            _, nearest, names, number = least
            lines = [f"{name}: {found.get(name)} instead of {nearest.get(name)}"
                     for name in sorted(names)[:10]]
            raise Failure(
                f"{self.folder}: never was like this; nearest is step {number} of"
                f" {len(self.log)} since the last sync:\n  " + "\n  ".join(lines))
        self.model = found
        self.synced()


def listing(folder):
    """Every name below a folder with what it holds; reads every byte."""
    found = {"": ("dir",)}
    for path, folders, files in os.walk(folder, onerror=fail):
        for name in folders + files:
            full = os.path.join(path, name)
            kind = os.lstat(full).st_mode
            short = os.path.relpath(full, folder)
            if stat.S_ISLNK(kind):
                found[short] = ("link", os.readlink(full))
            elif stat.S_ISDIR(kind):
                found[short] = ("dir",)
            else:
                with open(full, "rb") as file:
                    found[short] = ("file", *digest(file.read()))
    return found


def fail(error):
    raise error
