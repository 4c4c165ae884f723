"""What a folder shows: names, kinds, modes, times, bytes."""
import hashlib
import os
import stat


def listing(folder):
    """Relative path to what is there."""
    found = {}
    if not os.path.lexists(folder):
        return found
    for path, folders, names in os.walk(folder, onerror=lambda error: (_ for _ in ()).throw(error)):
        for name in folders + names:
            full = os.path.join(path, name)
            found[os.path.relpath(full, folder)] = entry(full)
    return found


def folders(root, depth_max=None, most=None):
    """The root and what folders are below it, as far as they can be read: so deep, and about so many."""
    found = [root]
    for path in found:
        if depth_max is not None and path.count("/") - root.count("/") >= depth_max:
            continue
        try:
            with os.scandir(path) as items:
                found += [item.path for item in items
                          if item.name != ".holdfast" and item.is_dir(follow_symlinks=False)]
        except OSError:
            pass
        if most is not None and len(found) > most:
            break
    return found


def entry(path):
    status = os.lstat(path)
    mode = oct(stat.S_IMODE(status.st_mode))
    if stat.S_ISDIR(status.st_mode):
        return ("folder", mode)
    if stat.S_ISLNK(status.st_mode):
        return ("link", os.readlink(path))
    if not stat.S_ISREG(status.st_mode):
        return ("other", mode, status.st_rdev)
    with open(path, "rb") as file:
        data = file.read()
    return ("file", mode, status.st_size, len(data), status.st_mtime_ns, status.st_nlink,
            hashlib.sha256(data).hexdigest()[:16])


def differences(wanted, found):
    """What is missing, what is too much, and what is another."""
    lines = [f"missing {name}" for name in sorted(wanted.keys() - found.keys())]
    lines += [f"too much {name}" for name in sorted(found.keys() - wanted.keys())]
    lines += [f"{name}: {wanted[name]} and not {found[name]}"
              for name in sorted(wanted.keys() & found.keys()) if wanted[name] != found[name]]
    return lines
