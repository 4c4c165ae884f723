"""Mounts against a folder of the same disk: the same steps on each side in turn."""
import math
import os
import shutil
import statistics
import tempfile
import time

import machine
from devices import Device, settle_processes
from gocryptfs import Gocryptfs
from memory import sizes_of
from workloads import Field, Missing, Sizes, chosen, source_tree

DISK = "disk"
MOUNT = "mount"
LEAST = 0.2  # seconds that a step takes which may be done again


def measure(place, report, options):
    if options.scale:
        import scale
        return scale.measure(place, report, options)
    device = Device("alone", place, transport="disabled")
    device.create()
    folders = {DISK: place.path("disk"), MOUNT: device.folder}
    if not options.beside:
        return alternate(place, report, options, device, folders)
    # Its own folder in it, since all is removed that is made there.
    folders["beside"] = tempfile.mkdtemp(prefix="holdfast-bench.", dir=options.beside)
    try:
        alternate(place, report, options, device, folders)
    finally:
        shutil.rmtree(folders["beside"], ignore_errors=True)


def alternate(place, report, options, device, folders):
    sizes = Sizes.choose(options.quick)
    os.mkdir(folders[DISK])
    processes = [device.process()]
    if options.peer:
        peer = Gocryptfs(place)
        folders[options.peer] = peer.folder
        processes.append(peer.process())
    turns = Turns(folders, sizes, processes, source_tree(place.folder, sizes.tree), options)
    print(
        f"fs: {sizes.large >> 20} MiB, {sizes.files} files, {turns.rounds} rounds, time relative to "
        "the local disk", flush=True)
    for workload in chosen(options.only):
        times = turns.run(workload)
        if isinstance(times, str):
            report.add(f"{workload.name}: left out", 0, "", note=times)
            continue
        for side in list(folders)[1:]:
            add(report, workload.name, side, times)
    after = sizes_of(processes[0])
    report.add("memory after all that (RSS)", after["Rss"] / 1024, "MiB", note="at most "
               f"{after['VmHWM'] / 1024:.0f} MiB")


def add(report, name, side, times):
    """The median ratio of a side to the disk, and the medians of both."""
    mine, theirs = times[side], times[DISK]
    ratios = [one / other for one, other in zip(mine, theirs)]
    report.add(
        name if side == MOUNT else f"{name}, {side}",
        # Of an even number the middle two are averaged: as the ratios they are.
        math.exp(statistics.median(map(math.log, ratios))), "x", ratios,
        note=f"{shown(mine)} / {shown(theirs)}")


def shown(seconds):
    return f"{statistics.median(seconds) * 1000:.1f} ms"


class Turns:
    """Runs a workload in all rounds, the sides in turn; who goes first changes every round."""

    def __init__(self, folders, sizes, processes, archive, options):
        self.fields = {
            side: Field(folder, sizes, archive) for side, folder in folders.items()}
        self.processes = processes
        self.rounds = options.rounds or (2 if options.quick else 4)
        # Whoever goes first may pay more.
        self.rounds += self.rounds % 2

    def run(self, workload):
        """Seconds of each side, or why there are none."""
        times = {side: [] for side in self.fields}
        for number in range(self.rounds):
            for side, field in list(self.fields.items())[::1 if number % 2 == 0 else -1]:
                field.round = number
                try:
                    times[side].append(self._time(workload, field))
                except Missing as why:
                    return str(why)
        return times

    def _time(self, workload, field):
        workload.prepare(field)
        # Or this step would pay for what an earlier one left unwritten.
        os.sync()
        settle_processes(self.processes, 0.1)
        if workload.cold:
            if not machine.drop_caches():
                raise Missing("only root may drop the caches")
            settle_processes(self.processes, 0.1)
        taken = []
        while not taken or workload.again and sum(taken) < LEAST:
            start = time.perf_counter()
            own = workload.step(field)
            taken.append(own or time.perf_counter() - start)
        return sum(taken) / len(taken)
