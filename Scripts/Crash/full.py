"""A full disk: the state lies on a small one, which runs full again and again while it is in use."""
import errno
import os
import random
import shutil
import subprocess
import time

from device import PATIENCE, Device, Failure, unmount
from names import digest, listing
from work import sync

MEBIBYTES = 64
NO_ROOM = {errno.ENOSPC, errno.EDQUOT}


class SmallDisk:
    def __init__(self, place):
        self.mount_point = os.path.join(place.path, "small")
        os.makedirs(self.mount_point)
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={MEBIBYTES}m", "small", self.mount_point],
            check=True)
        self.ballast = os.path.join(self.mount_point, "ballast")

    def fill(self, leaving):
        """Leaves so many bytes free."""
        self.empty()
        free = os.statvfs(self.mount_point)
        size = free.f_bavail * free.f_frsize - leaving
        if size > 0:
            with open(self.ballast, "wb") as file:
                os.posix_fallocate(file.fileno(), 0, size)

    def empty(self):
        if os.path.exists(self.ballast):
            os.unlink(self.ballast)


def full_rounds(place, program, seed, count, deadline, log):
    """Returns how many rounds there were, and what was refused in them."""
    chance = random.Random(seed)
    disk = SmallDisk(place)
    device = Device(
        place, "full", program, state=os.path.join(disk.mount_point, "state"))
    device.create()
    done = refused = 0
    promised = {}
    try:
        while done < count and time.monotonic() < deadline:
            disk.fill(chance.choice([0, 4096, 100_000, 3_000_000]))
            refused += use(device, chance, done, promised, limit=400)
            compare(device, promised, "on the full disk")
            if chance.random() < 0.3:
                # A start on a full disk may be refused; nothing is lost by that.
                device.kill()
                try:
                    device.mount()
                    compare(device, promised, "after a start on the full disk")
                except Failure:
                    if device.daemon is not None and device.daemon.poll() is None:
                        raise
                    device.daemon = None
            disk.empty()
            if device.daemon is None:
                device.mount()
            recover(device, done, promised)
            compare(device, promised, "when there was room again")
            if chance.random() < 0.3:
                device.kill()
                device.mount()
                compare(device, promised, "after a kill")
            device.check()
            for name in list(promised)[:-20]:
                os.unlink(device.path(name))
                del promised[name]
            sync(device.mount_point)
            done += 1
            if done % 10 == 0:
                log(f"{done} full disks, {refused} calls refused")
                device.stop()
                shutil.rmtree(device.home)
                promised = {}
                device.create()
        device.stop()
    except (Failure, OSError) as error:
        raise Failure(f"full disk {done} of seed {seed}: {error!r}\n{device.tail()}")
    finally:
        unmount(disk.mount_point)
    return done, f"{refused} calls refused"


def use(device, chance, number, promised, limit):
    """Returns how many calls were refused; each for want of room."""
    refused = 0
    for step in range(limit):
        name = f"r{number}s{step}"
        data = chance.randbytes(chance.choice([10, 3000, 30_000, 300_000]))
        try:
            if chance.random() < 0.3:
                os.mkdir(device.path(name + "d"))
            with open(device.path(name), "xb", buffering=0) as file:
                done = 0
                while done < len(data):
                    done += file.write(data[done:])
                os.fsync(file.fileno())
            sync(device.mount_point)
            promised[name] = digest(data)
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise
            refused += 1
            if refused > 40:
                break
    return refused


def recover(device, number, promised):
    """Goes on without a new start, within seconds."""
    end = time.monotonic() + PATIENCE
    name = f"r{number}later"
    while True:
        try:
            with open(device.path(name), "wb") as file:
                file.write(b"later" * 3000)
                file.flush()
                os.fsync(file.fileno())
            sync(device.mount_point)
            promised[name] = digest(b"later" * 3000)
            return
        except OSError as error:
            if error.errno not in NO_ROOM or time.monotonic() > end:
                raise
            time.sleep(0.1)


def compare(device, promised, when):
    found = listing(device.mount_point)
    for name, what in promised.items():
        if found.get(name) != ("file", *what):
            raise Failure(f"{when}: {name} is {found.get(name)} instead of {what}")
