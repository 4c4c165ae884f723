"""Two devices on this machine, their mounts and what passes between them."""
import filecmp
import os
import time

import content
from devices import settle, wait_for_agreement
from report import percentile


def measure(place, report, options):
    samples = 50 if options.quick else 300
    size = (128 if options.quick else 1024) << 20
    files = 1000 if options.quick else 10000
    print(f"sync: {samples} samples, {size >> 20} MiB, {files} files", flush=True)
    alice, bob = place.pair()
    _latency(alice, bob, report, samples)
    _large(alice, bob, report, size)
    _edit(alice, bob, report, size)
    _small(alice, bob, report, files)


def _latency(alice, bob, report, samples):
    """From the return of close in one mount until open and read in the other show the bytes."""
    settle([alice, bob])
    made, changed = [], []
    for index in range(samples):
        for times, name in ((made, f"made-{index}"), (changed, "changed")):
            data = os.urandom(64)
            there = bob.path(name)
            with open(alice.path(name), "wb", buffering=0) as file:
                file.write(data)
            start = time.perf_counter()
            while not _shows(there, data):
                if time.perf_counter() - start > 30:
                    raise RuntimeError(f"{name} was not seen within 30 s")
                time.sleep(0.0003)
            times.append((time.perf_counter() - start) * 1000)
            time.sleep(0.03)
    for label, times in (("new file", made), ("changed file", changed)):
        name = f"close to visible, {label}"
        report.add(f"{name}, p50", percentile(times, 0.50), "ms", times)
        report.add(f"{name}, p99", percentile(times, 0.99), "ms")


def _shows(path, data):
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        return os.read(descriptor, 4096) == data
    except OSError:
        return False
    finally:
        os.close(descriptor)


def _large(alice, bob, report, size):
    pieces = content.large(size)
    settle([alice, bob])
    start = time.perf_counter()
    content.write(alice.path("large"), pieces)
    written = time.perf_counter()
    wait_for_agreement([alice, bob], 600)
    end = time.perf_counter()
    if not filecmp.cmp(alice.path("large"), bob.path("large"), shallow=False):
        raise RuntimeError("the large file differs")
    report.add(
        "sync of one large file", size / 1e6 / (end - start), "MB/s", [end - start],
        "from the first write to all of it on the other side")
    report.add("sync of one large file, after close", end - written, "s")


def _edit(alice, bob, report, size):
    settle([alice, bob])
    data = os.urandom(4096)
    middle = size // 2 + 12345
    before = bob.traffic()
    descriptor = os.open(alice.path("large"), os.O_WRONLY)
    os.pwrite(descriptor, data, middle)
    os.close(descriptor)
    start = time.perf_counter()
    while True:
        with open(bob.path("large"), "rb", buffering=0) as file:
            if os.pread(file.fileno(), 4096, middle) == data:
                break
        if time.perf_counter() - start > 120:
            raise RuntimeError("the edit was not seen within 120 s")
        time.sleep(0.001)
    seen = time.perf_counter() - start
    wait_for_agreement([alice, bob], 120)
    report.add(
        "4 KiB edit in the large file", (bob.traffic() - before) / 1024, "KiB",
        note="transferred, both ways")
    report.add("4 KiB edit, close to visible", seen * 1000, "ms")
    if not filecmp.cmp(alice.path("large"), bob.path("large"), shallow=False):
        raise RuntimeError("the edited file differs")


def _small(alice, bob, report, files):
    settle([alice, bob])
    start = time.perf_counter()
    content.small_files(alice.path("small"), files, 4096)
    written = time.perf_counter()
    wait_for_agreement([alice, bob], 600)
    end = time.perf_counter()
    if content.digest(alice.path("small")) != content.digest(bob.path("small")):
        raise RuntimeError("the small files differ")
    note = "from the first write to all of them on the other side"
    report.add(
        f"sync of {files:,} files of 4 KiB", files * 4096 / 1e6 / (end - start), "MB/s",
        [end - start], note)
    report.add(f"sync of {files:,} files of 4 KiB", files / (end - start), "files/s")
    report.add(f"sync of {files:,} files, after the last close", end - written, "s")
