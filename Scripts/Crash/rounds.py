"""Rounds: work on a mount, an end without warning, a new start, and a look at what is there."""
import os
import random
import shutil
import time

from device import Device, Failure
from files import FileWorker
from names import NameWorker
from transactions import SETTINGS, TransactionWorker

# A share serves so many rounds, then the next begins with a new one.
ROUNDS_PER_SHARE = 12


class Team:
    """The workers of one share, over all of its rounds."""

    def __init__(self, kind, device, seed):
        self.device = device
        self.random = random.Random(seed)
        make = {"fsstress": self.names, "files": self.files, "sqlite": self.transactions}
        kinds = list(make) if kind == "all" else [kind]
        self.workers = [worker for each in kinds for worker in make[each](kind == "all")]

    def seeded(self):
        return random.Random(self.random.getrandbits(64))

    def names(self, mixed):
        return [NameWorker(self.device.path(f"names{number}"), self.seeded())
                for number in range(1 if mixed else 3)]

    def files(self, mixed):
        return [FileWorker(self.device.path(f"files{number}"), self.seeded())
                for number in range(1 if mixed else 2)]

    def transactions(self, mixed):
        settings = self.random.sample(SETTINGS, 2) if mixed else SETTINGS
        return [TransactionWorker(self.device.path("databases"), self.seeded(), setting)
                for setting in settings]

    def start(self):
        """Each goes on from what the one before left."""
        fresh = []
        for old in self.workers:
            if isinstance(old, NameWorker):
                new = NameWorker(old.folder, self.seeded(), old.model)
            elif isinstance(old, FileWorker):
                new = FileWorker(old.folder, self.seeded(), old.records)
                new.saved = old.saved
            else:
                new = TransactionWorker(
                    old.folder, self.seeded(), (old.journal, old.synchronous, old.is_promised),
                    old.acknowledged)
            fresh.append(new)
        self.workers = fresh
        for worker in self.workers:
            worker.start()

    def end(self):
        for worker in self.workers:
            worker.is_over.set()
        for worker in self.workers:
            worker.join(60)
            if worker.is_alive():
                raise Failure(f"a call on {worker.folder} hangs")
            if worker.failure is not None:
                raise Failure(f"{worker.folder}: {worker.failure!r}")

    def verify(self):
        for worker in self.workers:
            worker.verify()

    @property
    def steps(self):
        return sum(worker.steps for worker in self.workers)


def kill_rounds(place, program, kind, seed, count, deadline, log):
    """`kill -9` of the daemon at random moments. Returns how many rounds there were."""
    chance = random.Random(seed)
    done = steps = 0
    device = team = None
    stress = None
    try:
        while done < count and time.monotonic() < deadline:
            if done % ROUNDS_PER_SHARE == 0:
                if device is not None:
                    device.stop()
                    shutil.rmtree(device.home)
                device = Device(place, f"share{done // ROUNDS_PER_SHARE}", program)
                device.create()
                team = Team(kind, device, chance.getrandbits(64))
            team.start()
            time.sleep(chance.choice([chance.uniform(0, 0.3), chance.uniform(0.2, 1.6)]))
            if chance.random() < 0.2:
                # Nothing goes on, but for what goes on behind.
                for worker in team.workers:
                    worker.is_over.set()
                time.sleep(chance.uniform(0, 0.2))
            device.kill()
            team.end()
            device.mount()
            team.verify()
            device.check()
            steps += team.steps
            done += 1
            if done % 10 == 0:
                log(f"{done} rounds, {steps} steps")
        if device is not None and device.daemon is not None:
            device.stop()
            device.mount()
            team.verify()
            device.stop()
    except (Failure, OSError) as error:
        raise Failure(f"round {done} of seed {seed}: {error}\n{device.tail() if device else ''}")
    return done, f"{steps} steps"
