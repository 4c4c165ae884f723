"""Real holdfast processes in namespaces: the nodes of the lab's own DHT, and devices with mounts."""
import json
import os
import select
import signal
import subprocess
import time


class Node:
    """A `holdfast dht` in the foreground; all get the same list, and leave themselves out of it."""

    PORT = 49737

    def __init__(self, place, program, namespace, address, bootstrap, *options):
        self.address = f"{address}:{self.PORT}"
        self.log = open(place.path(f"{namespace.short}.log"), "wb")
        environment = dict(place.environment, HOLDFAST_HOME=place.path(f"state-{namespace.short}"))
        words = [program, "dht", "--listen", self.address, "--public", "--json", *options]
        environment["HOLDFAST_BOOTSTRAP"] = ",".join(bootstrap)
        self.process = subprocess.Popen(
            namespace.command(*words), env=environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=self.log, text=True)
        self.facts = self.first_line(10)

    def first_line(self, limit):
        """What the node says of itself once it is ready."""
        if not select.select([self.process.stdout], [], [], limit)[0]:
            raise RuntimeError(f"the node at {self.address} did not say that it is ready")
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the node at {self.address} ended: see {self.log.name}")
        return json.loads(line)

    def end(self):
        """Returns the exit code."""
        self.process.send_signal(signal.SIGTERM)
        self.process.stdout.close()
        return self.process.wait(10)


class Device:
    """One device in a namespace: its state, its mount, its commands."""

    def __init__(self, place, program, name, namespace, settings):
        self.program = program
        self.namespace = namespace
        self.folder = place.path(name)
        self.home = place.path(f"state-{name}")
        os.mkdir(self.folder)
        self.environment = dict(
            place.environment, HOLDFAST_HOME=self.home, HOLDFAST_DEVICE_NAME=name, **settings)

    def start(self, *words):
        return subprocess.Popen(
            self.namespace.command(self.program, *words), env=self.environment,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def run(self, *words, text=None, limit=120):
        """Returns the exit code, standard output, and standard error on one line."""
        with self.start(*words) as process:
            try:
                output, errors = process.communicate(text, timeout=limit)
            except subprocess.TimeoutExpired:
                process.kill()
                return 5, "", f"holdfast {words[0]} took longer than {limit} s"
        return process.returncode, output, " ".join(errors.split())

    def create(self):
        code, output, errors = self.run("create", self.folder, "--name", "lab")
        if code != 0:
            raise RuntimeError(f"create: {errors}")
        return output.split()[-1]

    def peers(self):
        code, output, _ = self.run("peers", self.folder, "--json")
        return json.loads(output) if code == 0 else []

    def connected(self):
        return [one for one in self.peers() if one.get("state") == "connected"]

    def status(self):
        code, output, _ = self.run("status", self.folder, "--json")
        return json.loads(output) if code == 0 else {}

    def write(self, name, content):
        with open(os.path.join(self.folder, name), "w") as file:
            file.write(content)

    def has(self, name, content):
        try:
            with open(os.path.join(self.folder, name)) as file:
                return file.read() == content
        except OSError:
            return False

    def unmount(self):
        self.run("unmount", self.folder, limit=30)

    def log_lines(self, count):
        """The last lines of the daemon's log."""
        lines = []
        for folder, _, names in os.walk(self.home):
            for name in sorted(names):
                if name == "daemon.log":
                    with open(os.path.join(folder, name), errors="replace") as file:
                        lines += file.readlines()
        return lines[-count:]


def wait_until(condition, limit, pause=0.02):
    """Returns the seconds it took until the condition held; nil if it did not in time."""
    begin = time.monotonic()
    while True:
        if condition():
            return time.monotonic() - begin
        if time.monotonic() - begin > limit:
            return None
        time.sleep(pause)
