"""gocryptfs beside us: an encrypting filesystem that one would mount otherwise."""
import os
import shutil
import subprocess

from devices import MARK, process_with

NAME = "gocryptfs"
ROLE = "HOLDFAST_BENCH_PEER"


class Gocryptfs:
    """Its mount in a place; the place's watch ends it."""

    def __init__(self, place):
        if not shutil.which(NAME):
            raise RuntimeError(f"{NAME} is not installed: apt-get install {NAME}")
        self.place = place
        self.folder = place.path(NAME)
        cipher = place.path(NAME + "-store")
        os.mkdir(self.folder)
        os.mkdir(cipher)
        self._run("-init", "-scryptn", "10", cipher)
        self._run("-noprealloc", cipher, self.folder)

    def _run(self, *words):
        done = subprocess.run(
            [NAME, "-q", "-extpass", "echo", "-extpass", "bench", *words],
            env=dict(self.place.environment, **{ROLE: NAME}),
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"{NAME}: {done.stderr.strip() or done.returncode}")

    def process(self):
        return process_with({MARK: self.place.folder + "/", ROLE: NAME})
