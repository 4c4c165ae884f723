"""Damage on the disk: bytes of the state's files turned, and what comes of it.

A share with damage is mounted or refused with a clear error. Nothing crashes, nothing hangs, and no
wrong byte is shown that `holdfast check` does not know of. `check --rebuild` mends what can be made
again from the logs.
"""
import collections
import os
import random
import shutil
import time

from device import Device, Failure
from names import digest
from rounds import Team

LIMIT = 60


class Sample:
    """A share with all there is: closed files, files that were being written, removed ones."""

    def __init__(self, place, program, seed):
        self.device = Device(place, "damaged", program)
        self.device.create()
        # Some of it in packs and in the database itself, some staged and in its journal.
        team = Team("all", self.device, seed)
        team.start()
        time.sleep(1.5)
        for worker in team.workers:
            worker.is_over.set()
        team.end()
        self.device.stop()
        self.device.mount()
        team.start()
        time.sleep(0.4)
        self.device.kill()
        team.end()
        self.golden = os.path.join(place.path, "golden")
        shutil.copytree(self.device.home, self.golden, symlinks=True, ignore=without_sockets)
        # What all of it is, as a whole state shows it.
        self.device.mount()
        time.sleep(2)
        self.shown = readable(self.device.mount_point)[0]
        self.device.kill()

    def restore(self):
        shutil.rmtree(self.device.home)
        shutil.copytree(self.golden, self.device.home, symlinks=True)

    @property
    def folder(self):
        shares = os.path.join(self.device.home, "shares")
        return os.path.join(shares, sorted(os.listdir(shares))[0])


def without_sockets(folder, names):
    return [name for name in names if name.endswith(".sock") or name.endswith(".log")]


def files(folder):
    found = []
    for path, _, names in os.walk(folder):
        found += [os.path.join(path, name) for name in names]
    return sorted(found)


def pick(paths, chance):
    """One of them: each kind of file is as likely as its share of what matters."""
    kinds = {"share.sqlite": [], "share.sqlite-wal": [], ".pack": [], "staging": [], "": []}
    for path in paths:
        kind = next(kind for kind in kinds
                    if path.endswith(kind) or kind == os.path.basename(os.path.dirname(path)))
        kinds[kind].append(path)
    weights = [weight if found else 0 for weight, found in zip([8, 4, 5, 2, 3], kinds.values())]
    return chance.choice(chance.choices(list(kinds.values()), weights)[0])


def damage(path, chance):
    """Turns some bytes, or does worse. Returns what."""
    size = os.path.getsize(path)
    kind = chance.choices(["turn", "page", "cut", "grow", "gone"], [12, 2, 2, 1, 1])[0]
    if kind == "gone":
        os.unlink(path)
        return kind
    with open(path, "r+b") as file:
        if kind == "grow" or size == 0:
            file.seek(size)
            file.write(chance.randbytes(chance.choice([1, 100, 5000])))
        elif kind == "cut":
            file.truncate(chance.randrange(size))
        elif kind == "page":
            file.seek(chance.randrange(size) // 4096 * 4096)
            file.write(chance.choice([bytes(4096), chance.randbytes(4096)]))
        else:
            # One place, or one here and there.
            for _ in range(chance.choice([1, 1, 4, 40])):
                at = chance.randrange(size)
                file.seek(at)
                old = file.read(1)
                file.seek(at)
                file.write(bytes([chance.choice([old[0] ^ 1 << chance.randrange(8), 0, 255])]))
    return kind


def readable(folder):
    """What can be read, and how much cannot."""
    found, errors = {}, 0

    def note(error):
        nonlocal errors
        errors += 1

    for path, _, names in os.walk(folder, onerror=note):
        for name in names:
            full = os.path.join(path, name)
            try:
                if os.path.islink(full):
                    os.readlink(full)
                    continue
                with open(full, "rb") as file:
                    found[os.path.relpath(full, folder)] = digest(file.read())
            except OSError:
                # What is missing is waited for, for a while each.
                errors += 1
                if errors > 2:
                    return found, errors
    return found, errors


def use(folder, chance):
    """Changes this and that; every error is an answer."""
    for path, folders, names in list(os.walk(folder)):
        for name in names + folders:
            full = os.path.join(path, name)
            for change in (
                    lambda: os.chmod(full, 0o755), lambda: os.setxattr(full, "user.x", b"1"),
                    lambda: os.rename(full, full + "-new"), lambda: os.link(full, full + "-link"),
                    lambda: append(full + "-new"), lambda: os.unlink(full + "-new"),
                    lambda: append(os.path.join(path, f"made{chance.randrange(10**9)}"))):
                if chance.random() < 0.15:
                    try:
                        change()
                    except OSError:
                        pass
    try:
        folder = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError:
        pass


def append(path):
    with open(path, "ab") as file:
        file.write(b"more")


def mounted(device):
    """Whether it mounts; else it has said why."""
    try:
        device.mount()
        return True
    except Failure:
        process, device.daemon = device.daemon, None
        if process is None or process.poll() is None:
            raise
        if process.returncode < 0 or process.returncode >= 128:
            raise Failure(f"the mount crashed with {process.returncode}: {device.tail()}")
        return False


def damage_rounds(place, program, seed, count, deadline, log):
    """Returns how many rounds there were, and what came of them in words."""
    chance = random.Random(seed)
    outcomes = collections.Counter()
    sample = Sample(place, program, chance.getrandbits(64))
    device = sample.device
    done = 0
    what = "nothing yet"
    try:
        while done < count and time.monotonic() < deadline:
            sample.restore()
            path = pick(files(device.home), chance)
            what = f"{os.path.relpath(path, device.home)} {damage(path, chance)}"
            noticed = device.run("check", sample.folder, limit=LIMIT, may_fail=True).returncode != 0
            outcomes["noticed" if noticed else "unnoticed"] += 1
            if mounted(device):
                outcomes["mounted"] += 1
                shown, _ = readable(device.mount_point)
                wrong = [name for name in shown.keys() & sample.shown.keys()
                         if shown[name] != sample.shown[name]]
                if wrong and not noticed and "staging" not in what and "wal" not in what:
                    raise Failure(f"check found nothing, and these are wrong: {wrong[:5]}")
                use(device.mount_point, chance)
                if device.daemon.poll() is not None:
                    raise Failure(f"the daemon ended with {device.daemon.returncode}")
                device.kill()
            else:
                outcomes["refused"] += 1
            rebuilt = device.run("check", sample.folder, "--rebuild", limit=LIMIT, may_fail=True)
            if rebuilt.returncode == 0:
                outcomes["rebuilt"] += 1
                device.mount()
                readable(device.mount_point)
                device.check()
                device.kill()
            else:
                outcomes["not rebuilt"] += 1
                if not rebuilt.stderr.strip():
                    raise Failure("check --rebuild failed without a word")
                log(f"{what}: {rebuilt.stderr.strip()}")
            done += 1
            if done % 10 == 0:
                log(f"{done} damages: {dict(outcomes)}")
    except (Failure, OSError) as error:
        raise Failure(f"damage {done} of seed {seed} ({what}): {error}\n{device.tail()}")
    return done, dict(outcomes)
