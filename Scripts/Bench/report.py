"""Figures, as a table and as JSON."""
import math
import statistics


def percentile(samples, part):
    """The smallest sample that at least `part` (0 to 1) of them do not exceed."""
    return sorted(samples)[max(0, math.ceil(part * len(samples)) - 1)]


class Report:
    def __init__(self, machine, quick):
        self.machine = machine
        self.quick = quick
        self.figures = []

    def add(self, name, value, unit, samples=(), note=""):
        self.figures.append({
            "name": name, "value": value, "unit": unit, "samples": list(samples), "note": note})
        print(f"  {name}: {shown(value)} {unit}", flush=True)

    def add_median(self, name, samples, unit, note=""):
        self.add(name, statistics.median(samples), unit, samples, note)

    def json(self):
        return {"format": 1, "machine": self.machine, "quick": self.quick, "figures": self.figures}

    def print(self):
        facts = self.machine
        print(
            f"\nHoldfast {facts['commit']}, {facts['date']}{', quick' if self.quick else ''}\n"
            f"{facts['processors']} x {facts['processor']}, {facts['memoryMiB']} MiB, "
            f"Linux {facts['kernel']}, {facts['disk']}, load {facts['load']:.1f} at the start\n")
        width = max([len(figure["name"]) for figure in self.figures] + [10])
        for figure in self.figures:
            note = f"   {figure['note']}" if figure["note"] else ""
            print(
                f"{figure['name']:<{width}} {shown(figure['value']):>10} {figure['unit']:<8}{note}"
                .rstrip())


def shown(value):
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.2f}" if abs(value) < 100 else f"{value:,.0f}"
