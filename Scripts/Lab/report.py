"""The lab's tables, a line as soon as it is known, and the same as JSON."""
import json
import sys

import nat

NAT_COLUMNS = (("NAT", 20), ("MAPPING", 28), ("FILTERING", 28), ("SHORT PACKET", 14), ("", 8))
DOCTOR_COLUMNS = (
    ("SITE", 20), ("DOCTOR SAYS", 13), ("REACHABLE", 11), ("ENDS WITH", 11), ("", 10),
    ("SEEN AT", 8))
PAIR_COLUMNS = (
    ("PAIR", 42), ("PATH", 18), ("CONNECT", 9), ("FIRST FILE", 12), ("ANSWER", 9), ("RTT", 9),
    ("", 8))
SITES = dict(nat.NAMES, lan="same site", island="no internet")


class Report:
    def __init__(self):
        self.nats = []
        self.sites = []
        self.pairs = []

    def line(self, columns, cells):
        text = "".join(str(cell).ljust(width) for (_, width), cell in zip(columns, cells))
        print(text.rstrip(), flush=True)

    def head(self, columns):
        self.line(columns, [name for name, _ in columns])

    def nat(self, kind, mapping, filtering, short, verdict):
        if not self.nats:
            self.head(NAT_COLUMNS)
        self.nats.append(
            {"nat": kind, "mapping": mapping, "filtering": filtering, "shortPacket": short,
             "verdict": verdict})
        self.line(NAT_COLUMNS, (kind, mapping, filtering, short, verdict))

    def doctor(self, site, kind, reachable, code, mapped, verdict):
        if not self.sites:
            self.head(DOCTOR_COLUMNS)
        self.sites.append(
            {"site": site, "nat": kind, "reachable": reachable, "exitCode": code,
             "mapped": mapped, "verdict": verdict})
        self.line(DOCTOR_COLUMNS, (site, kind, reachable, code, verdict, mapped))

    def pair(self, facts, logs):
        if not self.pairs:
            if self.sites:
                print()
            self.head(PAIR_COLUMNS)
        self.pairs.append(facts)

        def seconds(name):
            return f"{facts[name]:.2f} s" if name in facts else "-"
        paths = list(dict.fromkeys([facts.get("firstPath", "-"), *facts.get("paths", [])]))
        trip = facts.get("roundTripMilliseconds")
        self.line(PAIR_COLUMNS, (
            " and ".join(SITES[kind] for kind in facts["pair"]), ", ".join(paths),
            seconds("connectSeconds"), seconds("firstFileSeconds"), seconds("answerSeconds"),
            "-" if trip is None else f"{trip:.1f} ms",
            "as wanted" if facts["fits"] else "WRONG"))
        if facts.get("says"):
            print(f"    join ends with {facts['joinCode']}: {facts['says']}", flush=True)
        if "pathSeconds" in facts and facts["fits"]:
            print(f"    {paths[-1]} after {facts['pathSeconds']:.2f} s", flush=True)
        if "restartSeconds" in facts or "moveSeconds" in facts:
            print(f"    a file after a restart: {seconds('restartSeconds')}; "
                  f"after both got other addresses: {seconds('moveSeconds')}", flush=True)
        for words in facts.get("status") or []:
            print(f"    status of {words}", flush=True)
        if not facts["fits"]:
            for name, lines in logs.items():
                print(f"    {name}: " + f"\n    {name}: ".join(
                    one.rstrip() for one in lines), file=sys.stderr, flush=True)

    def json(self, path):
        with open(path, "w") as file:
            json.dump({"nats": self.nats, "sites": self.sites, "pairs": self.pairs}, file, indent=2)
            file.write("\n")
