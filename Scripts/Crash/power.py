"""Power failures: the state lies on a recording disk, which loses what was not synced."""
import os
import random
import shutil
import signal
import subprocess
import time

from device import PATIENCE, Device, Failure, mounts, unmount
from rounds import Team

ROUNDS_PER_SHARE = 8


class Disk:
    """A recording disk: each failure makes a new folder of what is left."""

    def __init__(self, place, name, program, model, random):
        self.place = place
        self.program = program
        self.model = model
        self.random = random
        self.mount_point = os.path.join(place.path, "disk-" + name)
        self.stem = os.path.join(place.path, "platter-" + name)
        self.number = 0
        os.makedirs(self.mount_point)
        os.makedirs(self.backing)
        self.process = None

    @property
    def backing(self):
        return f"{self.stem}.{self.number}"

    def start(self):
        image = f"{self.stem}.{self.number + 1}"
        self.process = self.place.start(
            [self.program, self.backing, self.mount_point, image, self.model,
             str(self.random.getrandbits(63))])
        end = time.monotonic() + PATIENCE
        while self.mount_point not in mounts(self.mount_point):
            if self.process.poll() is not None or time.monotonic() > end:
                raise Failure(f"the recording disk did not start: {self.process.poll()}")
            time.sleep(0.01)

    def fail(self):
        """The power fails. What reads or writes now gets an error, or waits for its end."""
        self.process.send_signal(signal.SIGUSR1)

    def break_down(self):
        """From now on every change and every sync is an error."""
        self.process.send_signal(signal.SIGUSR2)

    def restart(self):
        """To be called when nobody uses the disk any more."""
        if self.process.wait(PATIENCE) != 0:
            raise Failure("the recording disk crashed")
        unmount(self.mount_point)
        shutil.rmtree(self.backing)
        self.number += 1
        self.start()

    def end(self):
        unmount(self.mount_point)
        self.process.wait(PATIENCE)
        shutil.rmtree(self.backing)


class Observer:
    """A second device, on an ordinary disk, that sees what the first announces."""

    def __init__(self, place, program, first, link, number):
        self.device = Device(place, f"peer{number}", program, transport="direct")
        self.device.join(link)
        self.first = first

    def verify(self):
        """Both agree in the end, so no block was replaced by another."""
        end = time.monotonic() + PATIENCE
        while True:
            one, other = self.first.status(), self.device.status()
            problems = one["problems"] + other["problems"]
            if any("two histories" in problem for problem in problems):
                raise Failure(f"a fork: {problems}")
            same = one["digest"] == other["digest"] and one["clock"] == other["clock"]
            if same and one["pending"]["blocks"] == 0 and other["pending"]["chunks"] == 0:
                return
            if time.monotonic() > end:
                raise Failure(
                    f"the peer does not converge: {one['clock']} and {other['clock']},"
                    f" {one['pending']} and {other['pending']}, {problems}\n"
                    + self.device.tail())
            time.sleep(0.05)


def power_rounds(place, programs, kind, seed, count, deadline, model, with_peer, log):
    """Returns how many rounds there were, and the steps in them."""
    chance = random.Random(seed)
    done = steps = 0
    device = disk = observer = team = None
    try:
        while done < count and time.monotonic() < deadline:
            if done % ROUNDS_PER_SHARE == 0:
                if device is not None:
                    end(device, disk, observer)
                number = done // ROUNDS_PER_SHARE
                disk = Disk(
                    place, str(number), programs["recording-disk"], model,
                    random.Random(chance.getrandbits(64)))
                disk.start()
                device = Device(
                    place, f"share{number}", programs["holdfast"],
                    transport="direct" if with_peer else "disabled",
                    state=os.path.join(disk.mount_point, "state"))
                device.environment["HOLDFAST_TEST_BOOT"] = str(done + 1)
                link = device.create()
                observer = None
                if with_peer:
                    observer = Observer(place, programs["holdfast"], device, link, number)
                team = Team(kind, device, chance.getrandbits(64))
            team.start()
            for worker in team.workers:
                worker.may_break = True
            time.sleep(chance.choice([chance.uniform(0, 0.3), chance.uniform(0.2, 1.6)]))
            if chance.random() < 0.15:
                disk.break_down()
                time.sleep(chance.uniform(0, 0.4))
            disk.fail()
            device.kill()
            team.end()
            disk.restart()
            # The machine has started again.
            device.environment["HOLDFAST_TEST_BOOT"] = str(done + 2)
            device.mount()
            team.verify()
            device.check()
            if observer is not None:
                observer.verify()
                observer.device.check()
            steps += team.steps
            done += 1
            if done % 10 == 0:
                log(f"{done} failures, {steps} steps")
        end(device, disk, observer)
    except (Failure, OSError, subprocess.SubprocessError) as error:
        raise Failure(f"failure {done} of seed {seed}: {error}\n{device.tail() if device else ''}")
    return done, f"{steps} steps"


def end(device, disk, observer):
    device.stop()
    disk.end()
    if observer is not None:
        observer.device.stop()
        shutil.rmtree(observer.device.home)
