"""Two devices that know only the link, at two sites: how and how fast they meet."""
import shutil
import time

import nat
from devices import Device, wait_until
from internet import Site

# How long a device that has just made a share may take to announce it.
SETTLE_SECONDS = 3
# The longest way is a punch through random ports: 35 s, twice at worst, and a relay afterwards.
PATIENCE_SECONDS = 100

# One punch through random ports, and what goes before it.
UPGRADE_SECONDS = 60

# The pairs that --quick tries: each kind once, and those that are hard.
QUICK = [
    ("open", "open"), ("cone", "address"), ("port", "port"), ("port", "symmetric"),
    ("symmetric", "symmetric"), ("double", "double"), ("lan", "lan"), ("port", "blocked"),
]


def all_pairs():
    kinds = nat.KINDS
    pairs = [(one, other) for index, one in enumerate(kinds) for other in kinds[index:]]
    return pairs + [("lan", "lan"), ("island", "island")]


def expected(pair):
    """How the reference connects such a pair, as words of `path`; none if it cannot."""
    kinds = set(pair)
    if "blocked" in kinds:
        return []
    if kinds & {"lan", "island"}:
        return ["tcp"]
    if kinds == {"symmetric"}:
        return ["relayed"]
    if "open" in kinds:
        return ["direct"]
    return ["punched"]


class Meeting:
    """One pair's run and what came out."""

    def __init__(self, internet, nodes, program, pair, number, settings):
        self.pair = pair
        self.facts = {"pair": list(pair), "expected": expected(pair)}
        place = internet.place
        self.place = place
        self.sites = self.build(internet, number)
        hosts = [host for site in self.sites for host in site.hosts]
        self.names = [f"alice{number}", f"bob{number}"]
        settings = dict(
            settings, HOLDFAST_BOOTSTRAP=",".join(one.address for one in nodes),
            # UDP only, but where there is nothing else.
            HOLDFAST_TRANSPORT="auto" if pair[0] in ("lan", "island") else "hyperswarm")
        self.devices = [
            Device(place, program, name, host, settings) for name, host in zip(self.names, hosts)]

    def build(self, internet, number):
        first = (f"85.{number}.1.1", 10)
        second = (f"91.{number}.1.1", 20)
        if self.pair == ("lan", "lan"):
            return [Site(internet, f"p{number}", "port", *first, hosts=2)]
        if self.pair == ("island", "island"):
            site = Site(internet, f"p{number}", "port", *first, hosts=2)
            site.router.ip("link", "set", "wan", "down")
            return [site]
        return [Site(internet, f"{letter}{number}", kind, *address)
                for letter, kind, address in zip("ab", self.pair, (first, second))]

    def run(self, changes):
        alice, bob = self.devices
        facts = self.facts
        link = alice.create()
        alice.write("first.txt", "from alice\n")
        time.sleep(SETTLE_SECONDS)
        begin = time.monotonic()
        joining = bob.start("join", "-", bob.folder)
        joining.stdin.write(link + "\n")
        joining.stdin.close()

        def has_met():
            return any(alice.connected()) or joining.poll() is not None
        wait_until(has_met, PATIENCE_SECONDS)
        met = alice.connected()
        if met:
            facts["connectSeconds"] = time.monotonic() - begin
            facts["firstPath"] = met[0].get("path", "?")
        code = joining.wait(PATIENCE_SECONDS)
        words = " ".join(joining.stderr.read().split())
        joining.stdout.close()
        joining.stderr.close()
        facts["joinCode"] = code
        if code != 0:
            facts["says"] = words
        else:
            self.exchange(begin)
            if changes:
                self.change()
        facts["status"] = self.network_words()
        facts["fits"] = self.fits()

    def exchange(self, begin):
        alice, bob = self.devices
        facts = self.facts
        if wait_until(lambda: bob.has("first.txt", "from alice\n"), 30) is not None:
            facts["firstFileSeconds"] = time.monotonic() - begin
        back = time.monotonic()
        bob.write("second.txt", "from bob\n")
        if wait_until(lambda: alice.has("second.txt", "from bob\n"), 30) is not None:
            facts["answerSeconds"] = time.monotonic() - back
        facts["paths"] = self.paths()
        if facts["paths"] and facts["paths"] != facts["expected"] * len(facts["paths"]):
            # A relay helps out until a hole is punched.
            wait_until(lambda: set(self.paths()) == set(facts["expected"]), UPGRADE_SECONDS, 0.1)
            facts["pathSeconds"] = time.monotonic() - begin
            facts["paths"] = self.paths()
        trips = [one["roundTripMilliseconds"] for one in alice.connected()
                 if one.get("roundTripMilliseconds") is not None]
        if trips:
            facts["roundTripMilliseconds"] = trips[0]

    def change(self):
        """One device starts anew; then both get other addresses. Seconds until a file goes over."""
        alice, bob = self.devices
        bob.unmount()
        begin = time.monotonic()
        bob.run("mount", bob.folder)
        alice.write("third.txt", "after the start\n")
        if wait_until(lambda: bob.has("third.txt", "after the start\n"), 60) is not None:
            self.facts["restartSeconds"] = time.monotonic() - begin
        # The other kinds of routers know their host by its address.
        if not set(self.pair) <= {"port", "symmetric", "double"}:
            return
        for site in self.sites:
            site.move()
        begin = time.monotonic()
        alice.write("fourth.txt", "after the move\n")
        if wait_until(lambda: bob.has("fourth.txt", "after the move\n"), 120) is not None:
            self.facts["moveSeconds"] = time.monotonic() - begin

    def paths(self):
        """How each of the two sees the connection."""
        return [one.get("path", "?") for device in self.devices for one in device.connected()]

    def network_words(self):
        """What `status` says is wrong with the network, of each device that says something."""
        words = []
        for name, device in zip(self.names, self.devices):
            words += [f"{name}: {problem}" for problem in device.status().get("problems") or []]
        return words

    def fits(self):
        facts = self.facts
        if not facts["expected"]:
            return facts["joinCode"] == 4
        return "answerSeconds" in facts and bool(facts["paths"]) and all(
            path in facts["expected"] for path in facts["paths"])

    def logs(self, count=12):
        return {name: device.log_lines(count) for name, device in zip(self.names, self.devices)}

    def end(self):
        for device in self.devices:
            device.unmount()
        for site in self.sites:
            site.remove()
        for device in self.devices:
            shutil.rmtree(device.home, ignore_errors=True)
