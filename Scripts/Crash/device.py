"""One device whose daemon can be killed, and the folder in which all of a run takes place."""
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time

PATIENCE = 60


class Failure(Exception):
    """What was promised was not kept; says what."""


class Place:
    """A folder of its own; what is mounted below it is unmounted at the end."""

    def __init__(self, folder, keep):
        self.path = os.path.realpath(tempfile.mkdtemp(prefix="holdfast-crash-", dir=folder))
        self.keep = keep
        self.started = []

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        for process in self.started:
            if process.poll() is None:
                process.kill()
                process.wait()
        for point in reversed(mounts(self.path)):
            unmount(point)
        if self.keep and kind is not None:
            print(f"crash: left for a look: {self.path}")
        elif not mounts(self.path):
            shutil.rmtree(self.path, ignore_errors=True)

    def start(self, words, **options):
        options.setdefault("stdout", subprocess.DEVNULL)
        options.setdefault("stderr", subprocess.DEVNULL)
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, **options)
        self.started = [old for old in self.started if old.poll() is None] + [process]
        return process


class Device:
    """Its state, its mount point, its daemon."""

    def __init__(self, place, name, program, transport="disabled", state=None):
        self.place = place
        self.name = name
        self.program = program
        self.home = state or os.path.join(place.path, "state-" + name)
        self.mount_point = os.path.join(place.path, name)
        self.log = os.path.join(place.path, name + ".log")
        self.port = free_port()
        self.daemon = None
        os.makedirs(self.mount_point, exist_ok=True)
        self.environment = dict(
            os.environ, HOLDFAST_HOME=self.home, HOLDFAST_DEVICE_NAME=name,
            HOLDFAST_BOOTSTRAP="127.0.0.1:1", HOLDFAST_TRANSPORT=transport,
            SWIFT_BACKTRACE="enable=no")
        if transport == "direct":
            self.environment["HOLDFAST_LISTEN"] = f"127.0.0.1:{self.port}"

    def path(self, *names):
        return os.path.join(self.mount_point, *names)

    def run(self, *words, limit=PATIENCE, may_fail=False):
        try:
            done = subprocess.run(
                [self.program, *words], env=self.environment, timeout=limit, text=True,
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                errors="replace")
        except subprocess.TimeoutExpired:
            raise Failure(f"{self.name}: holdfast {words[0]} took longer than {limit} seconds")
        if done.returncode < 0 or done.returncode >= 128:
            raise Failure(f"{self.name}: holdfast {words[0]} crashed ({done.returncode})"
                          + done.stderr[-1000:])
        if done.returncode != 0 and not may_fail:
            raise Failure(
                f"{self.name}: holdfast {words[0]} ended with {done.returncode}: "
                + done.stdout[-500:] + done.stderr[-1500:])
        return done

    def serve(self, *words, limit=PATIENCE):
        """Starts the daemon in the foreground and waits for its mount."""
        with open(self.log, "ab") as log:
            self.daemon = self.place.start(
                [self.program, *words, "--foreground"], env=self.environment, stdout=log,
                stderr=log, start_new_session=True)
        end = time.monotonic() + limit
        while self.mount_point not in mounts(self.mount_point) or not self.answers():
            if self.daemon.poll() is not None:
                raise Failure(
                    f"{self.name}: {words[0]} ended with {self.daemon.returncode}: {self.tail()}")
            if time.monotonic() > end:
                raise Failure(f"{self.name}: no mount after {limit} seconds: {self.tail()}")
            time.sleep(0.01)

    def create(self):
        """Returns the link."""
        with open(self.log, "ab") as log:
            before = log.tell()
        self.serve("create", self.mount_point, "--name", "things")
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            with open(self.log, errors="replace") as log:
                log.seek(before)
                for line in log:
                    if "://" in line or line.startswith("holdfast:"):
                        return line.strip()
            time.sleep(0.02)
        raise Failure("no link was printed")

    def join(self, link):
        self.serve("join", link, self.mount_point)

    def mount(self):
        if self.mount_point in mounts(self.mount_point):
            unmount(self.mount_point)
        self.serve("mount", self.mount_point)

    def answers(self):
        try:
            os.listdir(self.mount_point)
            return True
        except OSError:
            return False

    def kill(self):
        """What a crash of the program does: nothing more is run, nothing is tidied up."""
        if self.daemon is None:
            return
        if self.daemon.poll() not in (None, -signal.SIGKILL):
            raise Failure(
                f"{self.name}: the daemon had ended with {self.daemon.returncode}: {self.tail()}")
        self.daemon.kill()
        self.daemon.wait()
        self.daemon = None

    def stop(self):
        if self.daemon is None:
            return
        daemon, self.daemon = self.daemon, None
        self.run("unmount", self.mount_point)
        try:
            daemon.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            raise Failure(f"{self.name}: the daemon goes on after unmount")

    def check(self):
        self.run("check", self.mount_point)

    def status(self):
        return json.loads(self.run("status", self.mount_point, "--json").stdout)

    def tail(self):
        with open(self.log, errors="replace") as log:
            return "".join(log.readlines()[-12:])


def mounts(below):
    with open("/proc/self/mountinfo") as table:
        points = [line.split()[4].encode().decode("unicode_escape") for line in table]
    return [point for point in points if point == below or point.startswith(below + "/")]


def unmount(point):
    for words in (["fusermount3", "-uz", point], ["umount", "-l", point]):
        if subprocess.run(words, stderr=subprocess.DEVNULL).returncode == 0:
            return


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
