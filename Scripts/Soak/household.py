"""Two or three devices with one share, their people, and what happens to the devices meanwhile."""
import collections
import json
import os
import random
import signal
import subprocess
import threading
import time

from device import Device, Failure, free_port, mounts
from people import Person
from tree import differences, listing

CONVERGENCE = 150


class Household:
    def __init__(self, place, program, count, transport, seed):
        self.place = place
        self.program = program
        self.random = random.Random(seed)
        self.bootstrap = self.start_network() if transport == "hyperswarm" else None
        self.devices = [
            self.device(name, transport) for name in ["alice", "bob", "carol"][:count]]
        link = self.devices[0].create()
        for device in self.devices[1:]:
            device.join(link)
            link = device.run("invite", device.mount_point).stdout.strip()
        os.mkdir(self.devices[0].path("shared"))
        self.await_name("shared")
        self.saved, self.people = {}, []
        self.facts = {device.name: (0, 0, 0) for device in self.devices}

    def device(self, name, transport):
        device = Device(self.place, name, self.program, transport)
        if self.bootstrap:
            device.environment["HOLDFAST_BOOTSTRAP"] = self.bootstrap
        return device

    def start_network(self):
        """A DHT of three nodes on the loopback."""
        ports = [free_port() for _ in range(3)]
        nodes = [f"127.0.0.1:{port}" for port in ports]
        for number, node in enumerate(nodes):
            home = os.path.join(self.place.path, f"state-node{number}")
            words = [self.program, "dht", "--listen", node, "--public"]
            for other in nodes:
                words += ["--bootstrap", other]
            self.place.start(words, env=dict(os.environ, HOLDFAST_HOME=home))
        return " ".join(nodes)

    def await_name(self, name):
        end = time.monotonic() + CONVERGENCE
        while not all(os.path.exists(device.path(name)) for device in self.devices):
            if time.monotonic() > end:
                raise Failure(f"{name} did not come to every device")
            time.sleep(0.05)

    # MARK: Life

    def live(self, seconds):
        """Everybody works, and devices come and go."""
        end = time.monotonic() + seconds
        self.people = []
        for device in self.devices:
            person = Person(device, random.Random(self.random.getrandbits(64)))
            person.count = len(self.saved)
            person.rows, person.commits, person.builds = self.facts[device.name]
            self.people.append(person)
        troubles = [
            threading.Thread(
                target=self.trouble, daemon=True,
                args=(person, random.Random(self.random.getrandbits(64)), end))
            for person in self.people]
        self.problems = []
        for thread in self.people + troubles:
            thread.start()
        for thread in troubles:
            thread.join()
        for person in self.people:
            person.is_over.set()
        for person in self.people:
            person.join(300)
            if person.is_alive():
                raise Failure(f"{person.name}'s programs hang: {hanging(person.device)}")
            if person.failure:
                raise Failure(f"{person.name}: {person.failure!r}")
            self.facts[person.name] = (person.rows, person.commits, person.builds)
            for token, (name, how, when) in person.saved.items():
                self.saved[token] = (person.name, name, how, when)
        if self.problems:
            raise self.problems[0]

    def trouble(self, person, chance, end):
        """One device's fate."""
        device = person.device
        try:
            while time.monotonic() < end:
                time.sleep(min(chance.uniform(0, 6), max(0, end - time.monotonic())))
                kind = chance.choice(["pause", "stop", "unmount", "umount", "nothing"])
                length = chance.choice([0.1, 1, 3, 10])
                length = min(length, max(0.1, end - time.monotonic()))
                if kind == "pause":
                    device.run("pause", device.mount_point)
                    time.sleep(length)
                    device.run("resume", device.mount_point)
                elif kind == "stop":
                    device.daemon.send_signal(signal.SIGSTOP)
                    time.sleep(length)
                    device.daemon.send_signal(signal.SIGCONT)
                elif kind in ("unmount", "umount"):
                    with person.at_work:
                        if kind == "unmount":
                            device.stop()
                        else:
                            self.umount(device)
                        time.sleep(length)
                        device.serve("mount", device.mount_point)
        except Exception as failure:
            self.problems.append(failure if isinstance(failure, Failure) else Failure(
                f"{device.name}: {failure!r}"))

    def umount(self, device):
        """umount(8), and often the next mount at once."""
        for _ in range(50):
            done = subprocess.run(
                ["fusermount3", "-u", device.mount_point], capture_output=True, text=True,
                timeout=60)
            if done.returncode == 0:
                break
            # What others changed is shown from inside, so it may be busy for a moment.
            time.sleep(0.1)
        else:
            raise Failure(f"{device.name}: fusermount3 -u: {done.stderr}")
        if self.random.random() < 0.5:
            device.daemon.wait(60)

    # MARK: The look at everything

    def compare(self):
        """Returns what there is; throws if something is missing."""
        left = {person.name: listing(person.own()) for person in self.people}
        self.converge()
        trees = self.equal_trees()
        for name, own in left.items():
            for device in self.devices:
                wrong = differences(own, listing(device.path("of-" + name)))
                if wrong:
                    raise Failure(f"{name}'s folder, at {device.name}: {wrong[:5]}")
        for person in self.people:
            for device in self.devices:
                self.use(person, device)
        explained = self.look_at_conflicts()
        kept = self.look_for_saves()
        for device in self.devices:
            device.check()
        files = sum(1 for entry in trees.values() if entry[0] == "file")
        return f"{len(trees)} names, {files} files; {kept}; {explained}"

    def converge(self):
        end = time.monotonic() + CONVERGENCE
        while True:
            said = [device.status() for device in self.devices]
            if len({status["digest"] for status in said}) == 1 and not any(
                    sum(status["pending"].values()) for status in said):
                return
            if time.monotonic() > end:
                facts = [(status["digest"][:12], status["pending"],
                          [(peer["device"], peer["state"]) for peer in status["peers"]],
                          sorted(status["clock"].items())) for status in said]
                raise Failure("no agreement: " + "\n".join(map(str, facts)))
            time.sleep(0.1)

    def equal_trees(self):
        """What the kernel kept of the others' changes is gone moments later."""
        end = time.monotonic() + 15
        while True:
            trees = [listing(device.mount_point) for device in self.devices]
            wrong = [(device.name, differences(trees[0], tree))
                     for device, tree in zip(self.devices[1:], trees[1:])
                     if tree != trees[0]]
            if not wrong:
                return trees[0]
            if time.monotonic() > end:
                raise Failure(f"one digest, and not the same shown as alice shows: {wrong}"[:3000])
            time.sleep(0.3)

    def use(self, person, device):
        """What a program says of its files, on whatever device."""
        folder = device.path("of-" + person.name)
        if person.commits:
            repository = os.path.join(folder, "repository")
            self.expect(["git", "-C", repository, "fsck", "--full", "--no-dangling"], "")
            self.expect(["git", "-C", repository, "rev-list", "--count", "HEAD"],
                        str(person.commits))
        if person.rows:
            # Only looked at: a look with the journal's help would write beside it.
            words = ["sqlite3", "-readonly", f"file:{folder}/things.db?immutable=1",
                     "pragma integrity_check; select count(*) from t"]
            self.expect(words, f"ok\n{person.rows}")
        if person.builds:
            done = subprocess.run([os.path.join(folder, "build", "prog")], timeout=60)
            if done.returncode != person.builds % 100:
                raise Failure(f"{person.name}'s program is another at {device.name}")

    def expect(self, words, wanted):
        done = subprocess.run(words, capture_output=True, text=True, timeout=120,
                              env=dict(os.environ, GIT_CONFIG_COUNT="1",
                                       GIT_CONFIG_KEY_0="safe.directory", GIT_CONFIG_VALUE_0="*"))
        if done.returncode != 0 or done.stdout.strip() != wanted:
            raise Failure(f"{words}: {done.returncode}, {done.stdout[:300]!r} and not {wanted!r}; "
                          + done.stderr[:500])

    def look_at_conflicts(self):
        """Only what more than one device saved may be there more than once."""
        devices = collections.defaultdict(set)
        for name, saved_as, _, _ in self.saved.values():
            devices[saved_as].add(name)
        kinds = collections.Counter()
        done = self.devices[0].run("conflicts", self.devices[0].mount_point, "--json",
                                   may_fail=True)
        for conflict in json.loads(done.stdout):
            path = conflict["path"]
            kinds[conflict["kind"]] += 1
            parts = os.path.relpath(path, self.devices[0].mount_point).split("/") \
                if path.startswith("/") else path.split("/")
            if parts[0] != "shared":
                raise Failure(f"a conflict where one person works: {conflict}")
            stem = parts[1].split(" (")[0].split(".")[0]
            if parts[1] != "box" and not any(
                    len(names) > 1 and saved_as.split(".")[0] == stem
                    for saved_as, names in devices.items()):
                raise Failure(f"a conflict that nobody made: {conflict}")
        return f"conflicts {dict(kinds)}" if kinds else "no conflicts"

    def look_for_saves(self):
        """Where what was saved is; what is nowhere is missing."""
        device = self.devices[0]
        shown = {}
        for path, _, names in os.walk(device.path("shared")):
            for name in names:
                with open(os.path.join(path, name), "rb") as file:
                    shown[name] = file.read()
        everything = b"\n".join(list(shown.values()) + [name.encode() for name in shown])
        gone = collections.defaultdict(set)
        for token, (_, name, _, _) in self.saved.items():
            if token.encode() not in everything:
                gone[name].add(token)
        count = sum(map(len, gone.values()))
        notes = sum(len(tokens) for name, tokens in gone.items() if name.endswith(".txt"))
        for name, tokens in gone.items():
            missing = {token for token in self.not_in_history(device, name, tokens)
                       if not self.is_overwritten(token)}
            if missing:
                facts = [f"{token} ({self.saved[token][2:]})" for token in sorted(missing)]
                raise Failure(f"saved to shared/{name} and nowhere now: {', '.join(facts[:10])}")
            # They were replaced with something that is in the history too: need not be looked for again.
            for token in tokens:
                del self.saved[token]
        return f"{len(self.saved)} saves shown, {count} in the history ({notes} of notes)"

    def is_overwritten(self, token):
        """Whether the same person saved over it before it could become a version of its own."""
        person, name, _, when = self.saved[token]
        return any(other[:2] == (person, name) and when < other[3] < when + 1.5
                   for other in self.saved.values())

    def not_in_history(self, device, name, tokens):
        missing = set(tokens)
        for shown in sorted(os.listdir(device.path("shared"))):
            if shown.split(" (")[0].split(".")[0] != name.split(".")[0] or not missing:
                continue
            path = device.path("shared", shown)
            entries = json.loads(
                device.run("log", path, "--json", "--limit", "100000").stdout)
            for entry in entries:
                if not missing:
                    break
                if not entry.get("version"):
                    continue
                with open(self.restored(device, path, entry["version"]), "rb") as file:
                    data = file.read()
                missing = {token for token in missing if token.encode() not in data}
        return missing

    def restored(self, device, path, version):
        """An earlier version beside, for a look."""
        target = device.path("old", version.replace("/", "-"))
        os.makedirs(os.path.dirname(target), exist_ok=True)
        if not os.path.exists(target):
            said = device.run("restore", path, "--version", version, "--to", target, "--json")
            time.sleep(1)
            if not os.path.exists(target):
                print(sorted(os.listdir(os.path.dirname(target))), os.listdir(device.path("shared")))
                raise Failure(f"{path}, version {version} was restored and is not there: "
                              + said.stdout)
        return target

    def end(self):
        """Returns how much was saved."""
        for device in self.devices:
            device.stop()
        return sum(person.count for person in self.people)


def hanging(device):
    """What the daemon's threads wait for."""
    lines = []
    try:
        for thread in os.listdir(f"/proc/{device.daemon.pid}/task"):
            folder = f"/proc/{device.daemon.pid}/task/{thread}"
            with open(f"{folder}/comm") as comm, open(f"{folder}/wchan") as place:
                lines.append(f"{comm.read().strip()} {place.read()}")
    except OSError as error:
        lines.append(str(error))
    return f"mounted {mounts(device.mount_point)}; {', '.join(lines)}"
