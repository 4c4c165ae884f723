"""Work on a mount that remembers what was promised: the threads run until the mount fails under them."""
import errno
import hashlib
import os
import threading

# What the kernel says when the daemon is gone.
GONE = {errno.ENOTCONN, errno.ECONNABORTED, errno.EIO, errno.ENODEV, errno.ESTALE}


def sync(path):
    """fsync of a file or a folder by its path."""
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


class Worker(threading.Thread):
    """Calls `step` until it is told to stop or the mount is gone. Another error is a failure."""

    def __init__(self, folder, random):
        super().__init__(daemon=True)
        self.folder = folder
        os.makedirs(folder, exist_ok=True)
        sync(os.path.dirname(folder))
        self.random = random
        self.is_over = threading.Event()
        self.may_fail = GONE
        # Whether the disk may fail under the mount.
        self.may_break = False
        self.failure = None
        self.steps = 0

    def run(self):
        try:
            while not self.is_over.is_set():
                self.step()
                self.steps += 1
        except OSError as error:
            if error.errno not in self.may_fail:
                self.failure = error
        except Exception as error:  # noqa: BLE001: told by whoever joins
            self.failure = error
        finally:
            self.end()

    def end(self):
        """Closes what is open; the mount may be gone."""

    def bytes(self, size):
        """That nobody wrote before, and quickly made."""
        seed = self.random.getrandbits(64).to_bytes(8, "little")
        block = hashlib.sha512(seed).digest()
        return (block * (size // len(block) + 1))[:size]

    def size(self):
        """Mostly small, now and then past each of the limits inside."""
        kind = self.random.random()
        if kind < 0.6:
            return self.random.randrange(0, 3000)
        if kind < 0.9:
            return self.random.randrange(0, 60_000)
        if kind < 0.99:
            return self.random.randrange(0, 400_000)
        return self.random.randrange(0, 3_000_000)
