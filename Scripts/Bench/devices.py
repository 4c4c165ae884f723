"""Devices on this machine: their daemons, mounts and files, and the duty to end all of them."""
import glob
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time

# Whatever was started carries this variable; its value is the place's folder and a slash.
MARK = "HOLDFAST_BENCH_PLACE"

# Processes first, so that nobody mounts again; then mounts, the youngest first; files last, and
# never across into what is still mounted.
CLEAR = f"""
folder="$1"
mounted() {{
    awk -v under="$folder/" 'index($5, under) == 1 {{ print $5 }}' /proc/self/mountinfo | tac
}}
for process in $(grep -lzF "{MARK}=$folder/" /proc/[0-9]*/environ 2>/dev/null | cut -d/ -f3); do
    kill -9 "$process" 2>/dev/null
done
mounted | while read -r point; do
    fusermount3 -uz "$point" 2>/dev/null || umount -l "$point" 2>/dev/null
done
[ -n "$(mounted)" ] || rm -rf --one-file-system "$folder"
"""


class Place:
    """A folder for one part of the measurements; used with `with`."""

    def __init__(self, program, parent):
        self.program = program
        self.folder = tempfile.mkdtemp(prefix="holdfast-bench.", dir=parent)
        self.plain = dict(os.environ)
        self.plain.pop(MARK, None)
        self.environment = {
            name: value for name, value in os.environ.items() if not name.startswith("HOLDFAST_")}
        # No packet leaves this machine.
        self.environment.update({MARK: self.folder + "/", "HOLDFAST_BOOTSTRAP": "127.0.0.1:1"})
        # A shell that clears up once this process is gone, however it went: the kernel then closes
        # the pipe that the shell waits for.
        self.watch = subprocess.Popen(
            ["/bin/sh", "-c", "cat >/dev/null; " + CLEAR, "sh", self.folder],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env=self.plain, cwd="/", start_new_session=True)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.watch.stdin.close()
        self.watch.wait()
        if os.path.exists(self.folder):
            print(f"bench: {self.folder} could not be cleared away", file=sys.stderr)

    def path(self, name):
        return os.path.join(self.folder, name)

    def show_logs(self):
        for name in glob.glob(self.path("state-*") + "/**/*.log", recursive=True):
            with open(name, errors="replace") as file:
                lines = file.readlines()[-10:]
            print(f"{name}:\n  " + "  ".join(lines), file=sys.stderr)

    def pair(self):
        """Two devices with one share, connected."""
        alice, bob = Device("alice", self), Device("bob", self)
        bob.join(alice.create())
        wait_for_agreement([alice, bob], 60)
        return alice, bob


class Device:
    def __init__(self, name, place, transport="direct"):
        self.place = place
        self.folder = place.path(name)
        self.home = place.path("state-" + name)
        os.mkdir(self.folder)
        self.environment = dict(
            place.environment, HOLDFAST_HOME=self.home, HOLDFAST_DEVICE_NAME=name,
            HOLDFAST_TRANSPORT=transport)
        if transport == "direct":
            self.environment["HOLDFAST_LISTEN"] = f"127.0.0.1:{free_port()}"

    def run(self, *words, text=None, limit=120):
        done = subprocess.run(
            [self.place.program, *words], env=self.environment, input=text, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=limit)
        if done.returncode != 0:
            raise RuntimeError(f"holdfast {words[0]}: {done.stderr.strip() or done.returncode}")
        return done.stdout

    def create(self):
        return self.run("create", self.folder, "--name", "bench").split()[-1]

    def join(self, link):
        self.run("join", "-", self.folder, text=link + "\n")

    def mount(self):
        self.run("mount", self.folder)

    def unmount(self):
        self.run("unmount", self.folder)

    def status(self):
        return json.loads(self.run("status", self.folder, "--json"))

    def traffic(self):
        """Bytes sent and received, over all peers."""
        peers = self.status()["peers"]
        return sum(peer["bytesSent"] + peer["bytesReceived"] for peer in peers)

    def path(self, name):
        return os.path.join(self.folder, name)

    def process(self):
        """The daemon's process id."""
        return process_with({
            MARK: self.place.folder + "/", "HOLDFAST_HOME": self.home})


def process_with(variables):
    """The id of the process that has these environment variables."""
    wanted = [f"{name}={value}".encode() for name, value in variables.items()]
    for name in glob.glob("/proc/[0-9]*/environ"):
        try:
            with open(name, "rb") as file:
                environment = file.read().split(b"\0")
        except OSError:
            continue
        if all(variable in environment for variable in wanted):
            return int(name.split("/")[2])
    raise RuntimeError("the daemon is not running")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def processor_seconds(process):
    with open(f"/proc/{process}/stat") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def settle(devices, limit=120):
    """Waits until the daemons have nothing to do."""
    settle_processes([device.process() for device in devices], 0.4, limit)


def settle_processes(processes, pause, limit=120):
    """Waits until they used no more than two ticks of the clock during a pause of so many seconds."""
    end = time.monotonic() + limit
    before = [processor_seconds(process) for process in processes]
    while time.monotonic() < end:
        time.sleep(pause)
        now = [processor_seconds(process) for process in processes]
        if all(late - early <= 0.02 for late, early in zip(now, before)):
            return
        before = now
    raise RuntimeError(f"the daemons were still busy after {limit} s")


def wait_for_agreement(devices, limit):
    """Waits until all show the same view, have all of it and know it of each other."""
    end = time.monotonic() + limit
    while True:
        said = [device.status() for device in devices]
        if len({one["digest"] for one in said}) == 1 and all(
            not any(one["pending"].values()) for one in said
        ):
            return
        if time.monotonic() > end:
            facts = [(one["digest"][:8], one["pending"]) for one in said]
            raise RuntimeError(f"no agreement after {limit} s: {facts}")
        time.sleep(0.01)


def remove(path):
    shutil.rmtree(path, ignore_errors=True)
