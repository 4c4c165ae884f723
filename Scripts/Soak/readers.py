#!/usr/bin/env python3
"""readers.py MOUNT SEED: looks at a mount as programs do, until whoever started it is gone.

Lists, looks up names that are there and names that are not, reads, watches, and stands in folders and holds
them open: so that the kernel keeps all that it can.
"""
import ctypes
import os
import random
import sys
import time

import tree
from names import POOL

LOOKING_MAX = 30
HELD_MAX = 12
PAUSES = [0, 0.001, 0.005, 0.02]


class Reader:
    def __init__(self, root, seed):
        self.root = root
        self.random = random.Random(seed)
        self.held = []
        self.queue = -1
        self.libc = ctypes.CDLL(None, use_errno=True)

    def folders(self):
        return tree.folders(self.root, most=LOOKING_MAX)

    def look_at_all(self, folders):
        for path in folders:
            for item in os.scandir(path):
                item.stat(follow_symlinks=False)

    def look_up(self, folders):
        folder = self.random.choice(folders)
        for name in self.random.choices(POOL, k=50):
            os.path.lexists(os.path.join(folder, name))

    def hold(self, folders):
        self.held.append(os.open(self.random.choice(folders), os.O_RDONLY | os.O_DIRECTORY))

    def list_held(self, folders):
        for folder in self.held[:1]:
            for name in os.listdir(folder):
                os.stat(name, dir_fd=folder, follow_symlinks=False)

    def watch(self, folders):
        if self.queue < 0:
            self.queue = self.libc.inotify_init1(os.O_NONBLOCK)
        for path in folders:
            self.libc.inotify_add_watch(self.queue, os.fsencode(path), 0xfff)
        os.read(self.queue, 1 << 16)

    def stand(self, folders):
        os.chdir(self.random.choice(folders + ["/"]))

    def read(self, folders):
        for path in folders:
            for name in os.listdir(path):
                try:
                    file = os.open(os.path.join(path, name), os.O_RDONLY | os.O_NONBLOCK)
                except OSError:
                    continue
                try:
                    os.read(file, 1 << 20)
                finally:
                    os.close(file)

    def rest(self, folders):
        os.chdir("/")
        if self.queue >= 0 and self.random.random() < 0.3:
            os.close(self.queue)
            self.queue = -1

    def run(self, parent):
        looks = [self.look_at_all, self.look_up, self.look_up, self.hold, self.list_held, self.watch,
                 self.stand, self.read, self.rest]
        pause = self.random.choice(PAUSES)
        while os.getppid() == parent:
            if self.random.random() < 0.05:
                pause = self.random.choice(PAUSES)
            time.sleep(pause)
            try:
                self.random.choice(looks)(self.folders())
                while self.held and (len(self.held) > HELD_MAX or self.random.random() < 0.15):
                    os.close(self.held.pop(self.random.randrange(len(self.held))))
            except OSError:
                pass


if __name__ == "__main__":
    Reader(sys.argv[1], int(sys.argv[2])).run(os.getppid())
