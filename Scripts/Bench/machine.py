"""What was measured on: figures mean nothing without it."""
import datetime
import os
import platform
import subprocess
import tempfile


def facts(folder, repository):
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "commit": _commit(repository),
        "kernel": platform.release(),
        "processor": _processor(),
        "processors": os.cpu_count(),
        "memoryMiB": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20,
        "disk": _disk(os.path.abspath(folder or tempfile.gettempdir())),
        "load": os.getloadavg()[0],
    }


def _commit(repository):
    told = subprocess.run(
        ["git", "-C", repository, "describe", "--always", "--dirty"],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return told.stdout.strip()


def _processor():
    with open("/proc/cpuinfo") as file:
        for line in file:
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.machine()


def _disk(folder):
    """The type and device of the file system that `folder` is on."""
    best = ("", "?")
    with open("/proc/self/mountinfo") as file:
        for line in file:
            before, after = line.split(" - ", 1)
            point = before.split()[4]
            inside = (folder + "/").startswith(point.rstrip("/") + "/")
            if inside and len(point) >= len(best[0]):
                kind, device = after.split()[:2]
                best = (point, f"{kind} on {device}")
    return best[1]


def drop_caches():
    """Empties the kernel's caches; False where that is not allowed."""
    os.sync()
    try:
        with open("/proc/sys/vm/drop_caches", "w") as file:
            file.write("3\n")
        return True
    except OSError:
        return False
