"""A share's engine and storage without FUSE, as the program `measure` beside holdfast runs them."""
import glob
import json
import os
import sqlite3
import subprocess

SMALL = 1000


def measure(place, report, options):
    large = options.scale or (100_000 if options.quick else 1_000_000)
    count = 1000 if options.quick else 10_000
    print(f"tree: {count} operations beside {SMALL:,} and {large:,} files", flush=True)
    homes = {size: place.path(f"tree-{size}") for size in (SMALL, large)}
    for size, home in homes.items():
        seconds = fill(place, home, size)
        if size == large:
            report.add(f"fill, {size:,} files", seconds / size * 1e6, "us", note="a file")
            report.add(
                f"database, {size:,} files", os.path.getsize(database(home)) / size, "bytes",
                note="a file with 200 bytes of content, its log included")
    # Side by side, so that both see the same machine.
    told = {}
    logs = {size: log_bytes(home) for size, home in homes.items()}
    for size, home in homes.items():
        told[size] = {
            one["name"]: one["microseconds"]
            for one in run(place, "operations", home, str(count))}
    for name, microseconds in told[large].items():
        report.add(
            f"{name}, {large:,} files", microseconds, "us",
            note=f"{told[SMALL][name]:.1f} us with {SMALL:,}")
    # A file costs two operations when it is made, then one each: save, attributes, rename, unlink.
    grown = log_bytes(homes[large]) - logs[large]
    report.add(
        "log, an operation", grown / (6 * count), "bytes",
        note="mean of make, place, write (with 200 bytes), attributes, rename, remove")
    opened = run(place, "open", homes[large])[0]
    report.add(f"open, {large:,} files", opened["seconds"], "s", note="until the root is listed")
    report.add(f"memory after that, {large:,} files", opened["MiB"], "MiB")
    late = 10_000 if options.quick else 100_000
    back = run(place, "return", place.path("tree-return"), str(late))[0]
    what = f"a device returns with {late:,} operations to one with as many"
    report.add(what, back["seconds"], "s", note="all that the other device does until it has them")
    report.add(
        "calls meanwhile, p99", back["p99 ms"], "ms",
        note=f"p50 {back['p50 ms']:.2f}, longest {back['longest ms']:.0f} ms")
    report.add("memory that it takes", back["MiB"], "MiB")


def fill(place, home, count):
    """Makes files in the share of a state folder that no process uses; seconds."""
    return run(place, "fill", home, str(count))[0]["seconds"]


def run(place, *words):
    program = os.path.join(os.path.dirname(place.program), "measure")
    done = subprocess.run(
        [program, "tree", *words], stdout=subprocess.PIPE, text=True, timeout=3600)
    if done.returncode != 0:
        raise RuntimeError(f"{program} tree {words[0]}: {done.stdout.strip() or done.returncode}")
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def database(home):
    return glob.glob(os.path.join(home, "shares", "*", "share.sqlite"))[0]


def log_bytes(home):
    connection = sqlite3.connect(database(home))
    try:
        return connection.execute("SELECT coalesce(sum(length(bytes)), 0) FROM block").fetchone()[0]
    finally:
        connection.close()
