"""What a daemon needs when a share has many files."""
import os
import time

import content
from devices import settle, wait_for_agreement


def measure(place, report, options):
    files = 10000 if options.quick else 100000
    print(f"memory: {files} files", flush=True)
    alice, bob = place.pair()
    for device, label in ((alice, "writer"), (bob, "reader")):
        _add(report, f"{label}, empty share", device)
    start = time.perf_counter()
    content.small_files(alice.path("many"), files, 200, a_folder=1000)
    report.add(
        f"create {files:,} small files", files / (time.perf_counter() - start), "files/s",
        note="while the other device takes them")
    wait_for_agreement([alice, bob], 1800)
    settle([alice, bob])
    for device, label in ((alice, "writer"), (bob, "reader")):
        _add(report, f"{label}, {files:,} files", device, peak=True)
    for device in (alice, bob):
        device.unmount()
        start = time.perf_counter()
        device.mount()
        if device is alice:
            report.add(f"mount again, {files:,} files", time.perf_counter() - start, "s")
    for device, label in ((alice, "writer"), (bob, "reader")):
        _add(report, f"{label}, mounted again", device)
        count = sum(
            os.lstat(os.path.join(path, name)).st_size > 0
            for path, _, names in os.walk(device.folder) for name in names)
        if count != files:
            raise RuntimeError(f"{count} files instead of {files}")
        _add(report, f"{label}, each file looked at", device, peak=True)


def sizes_of(process):
    """What the kernel says of a process's memory, in KiB: `Rss`, `Pss`, `VmHWM` and more."""
    sizes = {}
    for name in (f"/proc/{process}/smaps_rollup", f"/proc/{process}/status"):
        with open(name) as file:
            for line in file:
                words = line.split()
                if len(words) > 1 and words[1].isdigit():
                    sizes.setdefault(words[0].rstrip(":"), int(words[1]))
    return sizes


def _add(report, label, device, peak=False):
    sizes = sizes_of(device.process())
    note = f"PSS {sizes['Pss'] / 1024:.1f}"
    if peak:
        note += f", at most {sizes['VmHWM'] / 1024:.1f}"
    report.add(f"memory (RSS), {label}", sizes["Rss"] / 1024, "MiB", note=note)
