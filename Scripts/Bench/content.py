"""Bytes to write that neither repeat nor compress, made faster than a disk takes them."""
import hashlib
import os

PIECE = 1 << 20


def large(size):
    """Pieces of one mebibyte, `size` bytes in all, no two alike.

    One random piece is turned and numbered in every page, so that nothing is saved by equal pages.
    """
    base = os.urandom(2 * PIECE)
    for index in range(size // PIECE):
        start = (index * 4099 * 16) % PIECE
        piece = bytearray(base[start:start + PIECE])
        number = index.to_bytes(8, "little")
        for page in range(0, PIECE, 4096):
            piece[page:page + 8] = number
        yield piece


def write(path, pieces):
    """Writes, syncs and closes."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    try:
        for piece in pieces:
            view = memoryview(piece)
            while view:
                view = view[os.write(descriptor, view):]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read(path):
    buffer = bytearray(PIECE)
    descriptor = os.open(path, os.O_RDONLY)
    try:
        while os.readv(descriptor, [buffer]):
            pass
    finally:
        os.close(descriptor)


def small(count, size):
    """Contents of small files, no two alike."""
    block = os.urandom(max(size, 16) + 16)
    for index in range(count):
        yield (index.to_bytes(8, "little") + os.urandom(8) + block)[:size]


def small_files(folder, count, size, a_folder=100):
    """Creates, writes and closes `count` files, so many in each folder below `folder`."""
    os.makedirs(folder, exist_ok=True)
    for index, data in enumerate(small(count, size)):
        if index % a_folder == 0:
            inner = os.path.join(folder, f"{index // a_folder:05}")
            os.mkdir(inner)
        descriptor = os.open(
            os.path.join(inner, f"{index:06}"), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        os.write(descriptor, data)
        os.close(descriptor)


def digest(folder):
    """Of all names and bytes below a folder."""
    total = hashlib.blake2b(digest_size=32)
    for path, folders, files in os.walk(folder):
        folders.sort()
        for name in sorted(files):
            whole = os.path.join(path, name)
            total.update(os.path.relpath(whole, folder).encode() + b"\0")
            with open(whole, "rb") as file:
                for piece in iter(lambda: file.read(PIECE), b""):
                    total.update(piece)
    return total.hexdigest()
