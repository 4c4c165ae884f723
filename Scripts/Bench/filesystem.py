"""A mount against a folder of the same disk."""
import os
import time

import content
import machine
from devices import Device, remove, settle


def measure(place, report, options):
    size = (128 if options.quick else 1024) << 20
    files = 1000 if options.quick else 5000
    rounds = options.rounds or (2 if options.quick else 4)
    print(f"fs: {size >> 20} MiB, {files} files, {rounds} rounds", flush=True)
    device = Device("alone", place, transport="disabled")
    device.create()
    disk = place.path("disk")
    os.mkdir(disk)
    folders = {"mount": device.folder, "disk": disk}
    times = {}

    def timed(name, side, step):
        os.sync()
        settle([device])
        start = time.perf_counter()
        step()
        times.setdefault(name, {"mount": [], "disk": []})[side].append(time.perf_counter() - start)

    def sides(number):
        return list(folders.items())[::1 if number % 2 == 0 else -1]

    # All rounds of this before anything is removed: a file system that avoids what was freed a
    # moment ago creates far slower then.
    for number in range(rounds):
        for side, folder in sides(number):
            path = os.path.join(folder, f"small-{number}")
            timed("create", side, lambda: content.small_files(path, files, 4096))
    for number in range(rounds):
        # Made before the clock runs, and anew each round: equal content would be stored once.
        pieces = list(content.large(size))
        for side, folder in sides(number):
            path = os.path.join(folder, f"large-{number}")
            timed("write", side, lambda: content.write(path, pieces))
        del pieces
        for side, folder in sides(number):
            path = os.path.join(folder, f"large-{number}")
            if machine.drop_caches():
                timed("read, cold", side, lambda: content.read(path))
            else:
                content.read(path)
            timed("read, warm", side, lambda: content.read(path))
        for folder in folders.values():
            os.remove(os.path.join(folder, f"large-{number}"))
    for folder in folders.values():
        for number in range(rounds):
            remove(os.path.join(folder, f"small-{number}"))

    for name in ("write", "read, cold", "read, warm"):
        if name not in times:
            report.add(f"{name}: left out", 0, "", note="only root may drop the caches")
            continue
        speeds = {
            side: [size / (1 << 20) / second for second in seconds]
            for side, seconds in times[name].items()}
        note = "with fsync and close" if name == "write" else ""
        _add(report, name, speeds, times[name], "MiB/s", note)
    speeds = {side: [files / second for second in seconds] for side, seconds in times["create"].items()}
    _add(report, "create 4 KiB files", speeds, times["create"], "files/s", "")


def _add(report, name, speeds, times, unit, note):
    report.add_median(f"{name}, mount", speeds["mount"], unit, note)
    report.add_median(f"{name}, local disk", speeds["disk"], unit)
    ratios = [mine / theirs for mine, theirs in zip(times["mount"], times["disk"])]
    report.add_median(f"{name}, time ratio", ratios, "x", "mount / local disk, lower is better")
