"""Whether `holdfast doctor` says of each site what the site is."""
import json

import nat
from devices import Device
from internet import Site

# What it should call the NAT, whether strangers reach the machine, and how it should end.
EXPECTED = {
    "open": ("none", True, 0), "cone": ("consistent", False, 0),
    "address": ("consistent", False, 0), "port": ("consistent", False, 0),
    "symmetric": ("random", False, 0), "double": ("consistent", False, 0),
    "blocked": ("unknown", False, 4),
}


def examine(internet, nodes, program, report):
    """Builds one site of each kind; returns whether all were made out."""
    settings = {"HOLDFAST_BOOTSTRAP": ",".join(one.address for one in nodes)}
    is_right = True
    for number, kind in enumerate(nat.KINDS):
        site = Site(internet, f"d{number}", kind, f"85.8.{number}.1", 10)
        device = Device(internet.place, program, f"doctor{number}", site.hosts[0], settings)
        code, output, errors = device.run("doctor", "--json", limit=60)
        said = json.loads(output) if output else {}
        found = (said.get("nat"), said.get("reachable"), code)
        fits = found == EXPECTED[kind]
        is_right = is_right and fits
        report.doctor(
            nat.NAMES[kind], found[0] or "-", "yes" if found[1] else "no", code,
            ", ".join(said.get("mapped") or ["-"]), "as it is" if fits else f"WRONG {errors}")
        site.remove()
    return is_right
