"""Runs peers of two implementations against each other, all on the loopback, and prints a table."""

import json
import os
import queue
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TIMEOUT = 60


class Failure(Exception):
    pass


class Peer:
    """One process; its lines of JSON become events."""

    def __init__(self, words, environment):
        self.words = words
        self.process = subprocess.Popen(
            words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment, text=True)
        self.events = queue.Queue()
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stdout:
            try:
                self.events.put(json.loads(line))
            except ValueError:
                self.events.put({"event": "failed", "reason": line.strip()})
        self.events.put({"event": "failed", "reason": "it ended"})

    def expect(self, event, timeout=TIMEOUT):
        deadline = time.monotonic() + timeout
        while True:
            try:
                got = self.events.get(timeout=max(0.01, deadline - time.monotonic()))
            except queue.Empty:
                raise Failure(f"no '{event}' within {timeout} s")
            if got["event"] == event:
                return got
            if got["event"] == "failed":
                raise Failure(got.get("reason", "?"))

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


class Lab:
    def __init__(self, program, dht, modules, node):
        self.environment = dict(os.environ, NODE_PATH=modules)
        self.programs = {
            "holdfast": [program],
            "javascript": [node, os.path.join(HERE, "peer.js")],
        }
        self.dht = dht
        self.peers = []
        self.bootstrap = ""

    def start(self, implementation, command, **options):
        words = self.programs[implementation] + [command]
        options.setdefault("bootstrap", self.bootstrap)
        for name, value in options.items():
            if value != "":
                words += ["--" + name, str(value)]
        peer = Peer(words, self.environment)
        self.peers.append(peer)
        return peer

    def holdfast_node(self):
        port = free_port()
        words = [self.dht, "dht", "--listen", f"127.0.0.1:{port}", "--json"]
        if self.bootstrap:
            words += ["--bootstrap", self.bootstrap]
        else:
            words += ["--bootstrap", f"127.0.0.1:{port}"]
        process = subprocess.Popen(
            words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=self.environment)
        peer = Peer.__new__(Peer)
        peer.process = process
        self.peers.append(peer)
        time.sleep(0.5)
        if process.poll() is not None:
            raise Failure("holdfast dht ended at once")
        return port

    def network(self, implementation, count=4):
        """The nodes of a private DHT, all of one implementation."""
        self.bootstrap = ""
        for _ in range(count):
            if implementation == "holdfast":
                port = self.holdfast_node()
            else:
                options = {} if self.bootstrap else {"port": free_port()}
                port = self.start(implementation, "dht-node", **options).expect("ready")["port"]
            if not self.bootstrap:
                self.bootstrap = f"127.0.0.1:{port}"

    def end(self):
        for peer in self.peers:
            peer.end()
        self.peers = []


def free_port():
    import socket

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def find(lab, server, client):
    topic = os.urandom(32).hex()
    announcer = lab.start(server, "announce", topic=topic)
    announcer.expect("announced")
    found = lab.start(client, "lookup", topic=topic).expect("found")
    if len(found["keys"]) != 1:
        raise Failure(f"{len(found['keys'])} announcements found")
    return "found"


def echo(lab, server, client):
    total = 16 << 20
    key = lab.start(server, "echo-server").expect("listening")["key"]
    dialer = lab.start(client, "echo-client", peer=key, bytes=total)
    took = dialer.expect("connected")["milliseconds"]
    rate = dialer.expect("echoed")["megabytesPerSecond"]
    return f"connected in {took:.0f} ms, {total >> 20} MiB echoed at {rate:.0f} MB/s"


def log(lab, server, client, blocks, indexes=""):
    source = lab.start(server, "log-server", blocks=blocks, size=100)
    made = source.expect("log")
    key = source.expect("listening")["key"]
    reader = lab.start(
        client, "log-client", peer=key, key=made["key"], blocks=blocks, size=100, indexes=indexes)
    got = reader.expect("got")
    if not indexes and got["hash"] != made["hash"]:
        raise Failure("other blocks came")
    return f"{got['blocks']} of {blocks} blocks in {got['seconds']:.2f} s"


def main():
    program, dht, modules, node = sys.argv[1:5]
    lab = Lab(program, dht, modules, node)
    both = ["holdfast", "javascript"]
    sparse = ",".join(str(i) for i in (0, 1, 9_999, 5_000, 4_321, 77))
    tests = [
        ("announce and look up", find, {}),
        ("connect and echo", echo, {}),
        ("log of 100 blocks", log, {"blocks": 100}),
        ("log of 10,000 blocks", log, {"blocks": 10_000}),
        ("log of 10,000 blocks, sparse", log, {"blocks": 10_000, "indexes": sparse}),
    ]
    failed = 0
    for nodes in both:
        for server, client in [(a, b) for a in both for b in both if a != b]:
            for name, test, options in tests:
                try:
                    lab.network(nodes)
                    result = test(lab, server, client, **options)
                except Failure as failure:
                    result = f"FAILED: {failure}"
                    failed += 1
                finally:
                    lab.end()
                print(f"{nodes:10} nodes | {server:10} <- {client:10} | {name:28} | {result}")
                sys.stdout.flush()
    print(f"{failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
