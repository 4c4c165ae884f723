"""The swarm on loopback, as the program `measure` beside holdfast finds it."""
import json
import os
import subprocess

UNITS = {
    "MBPerSecond": "MB/s", "cpuSecondsPerGB": "s/GB", "datagramsPerCall": "a call",
    "medianMilliseconds": "ms", "count": "times", "KiBPerEnd": "KiB",
    "receiveCallsPerSecond": "calls/s", "cpuPercent": "%",
}
NOTES = {
    "cpuSecondsPerGB": "CPU of both ends", "medianMilliseconds": "median",
    "receiveCallsPerSecond": "wakeups by packets, one end", "KiBPerEnd": "memory of each end",
}


def measure(place, report, options):
    print("swarm: loopback", flush=True)
    program = os.path.join(os.path.dirname(place.program), "measure")
    outcome = subprocess.run(
        [program, "128" if options.quick else "1024"], stdout=subprocess.PIPE, text=True,
        timeout=600, check=True)
    lines = [line for line in outcome.stdout.splitlines() if line.startswith("{")]
    if not lines:
        raise RuntimeError(f"{program} measured nothing: {outcome.stdout.strip()}")
    for line in lines:
        figures = json.loads(line)
        name = figures.pop("name")
        for key, value in figures.items():
            report.add(f"{name}, {UNITS[key]}", value, UNITS[key], note=NOTES.get(key, ""))
