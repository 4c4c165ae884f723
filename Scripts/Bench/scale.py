"""What calls cost in a share of a thousand files and in one of very many, beside the local disk."""
import os
import time

import tree
from devices import Device
from filesystem import DISK, Turns, add
from memory import sizes_of
from workloads import METADATA, Sizes, chosen, source_tree

SMALL = 1000


def measure(place, report, options):
    sizes = Sizes.choose(options.quick)
    folders = {DISK: place.path("disk")}
    os.mkdir(folders[DISK])
    devices = {}
    for count in (SMALL, options.scale):
        device = Device(f"share-{count}", place, transport="disabled")
        device.create()
        # Straight into the share's logs and view, as the mount would have written them.
        device.unmount()
        tree.fill(place, device.home, count)
        start = time.perf_counter()
        device.mount()
        report.add(f"mount, {count:,} files", time.perf_counter() - start, "s")
        devices[f"{count:,} files"] = device
    folders.update({label: device.folder for label, device in devices.items()})
    processes = [device.process() for device in devices.values()]
    turns = Turns(folders, sizes, processes, source_tree(place.folder, sizes.tree), options)
    for workload in chosen(options.only, METADATA):
        times = turns.run(workload)
        if isinstance(times, str):
            report.add(f"{workload.name}: left out", 0, "", note=times)
            continue
        for label in devices:
            add(report, workload.name, label, times)
    for label, device in devices.items():
        after = sizes_of(device.process())
        report.add(
            f"memory (RSS), {label}", after["Rss"] / 1024, "MiB",
            note=f"at most {after['VmHWM'] / 1024:.0f} MiB")
