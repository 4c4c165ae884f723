"""Whether each kind of NAT behaves as its name says: the tests of RFC 5780, sections 4.3 and 4.4.

One process holds all the sockets, each made inside its namespace: the host's, and two ports on
each of two public hosts.
"""
import select
import socket

import nat
from internet import Site

# What a kind should show: mapping, filtering, and whether a packet that dies on the way opens the
# near side.
EXPECTED = {
    "open": ("none", "none"),
    "cone": ("endpoint-independent", "endpoint-independent"),
    "address": ("endpoint-independent", "address-dependent"),
    "port": ("endpoint-independent", "address and port-dependent"),
    "symmetric": ("address and port-dependent", "address and port-dependent"),
    "double": ("endpoint-independent", "address and port-dependent"),
    "blocked": ("blocked", "blocked"),
}

# Everything is on one machine: what has not come by then was dropped.
PATIENCE = 0.15


def udp(namespace, port=0, address="0.0.0.0"):
    with namespace:
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.bind((address, port))
    return made


def arrives(receiver, text):
    """The source of the datagram with this text; nil if it does not come."""
    while select.select([receiver], [], [], PATIENCE)[0]:
        content, source = receiver.recvfrom(2048)
        if content == text:
            return source
    return None


class Test:
    def __init__(self, first, first_address, second, second_address):
        # Two ports of one host, and one of another.
        self.near = udp(first, 7001), (first_address, 7001)
        self.sibling = udp(first, 7002), (first_address, 7002)
        self.far = udp(second, 7001), (second_address, 7001)
        self.count = 0

    def close(self):
        for server, _ in (self.near, self.sibling, self.far):
            server.close()

    def send(self, sender, address, receiver, ttl=64):
        self.count += 1
        text = f"lab {self.count}".encode()
        sender.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, ttl)
        try:
            sender.sendto(text, address)
        except OSError:
            return None
        return arrives(receiver, text)

    def mapping(self, host, own):
        with udp(host) as client:
            seen = [self.send(client, address, server)
                    for server, address in (self.near, self.sibling, self.far)]
            if None in seen:
                return "blocked"
            if seen[0] == (own, client.getsockname()[1]):
                return "none"
        if len(set(seen)) == 1:
            return "endpoint-independent"
        if seen[0] == seen[1]:
            return "address-dependent"
        return "address and port-dependent"

    def filtering(self, host, public):
        with udp(host) as client:
            # Nobody was asked yet: only an open host hears this.
            number = client.getsockname()[1]
            if self.send(self.far[0], (public, number), client):
                return "none"
            mapped = self.send(client, self.near[1], self.near[0])
            if mapped is None:
                return "blocked"
            assert self.send(self.near[0], mapped, client), "an answer did not come back"
            if self.send(self.far[0], mapped, client):
                return "endpoint-independent"
            if self.send(self.sibling[0], mapped, client):
                return "address-dependent"
        return "address and port-dependent"

    def is_opened_by_short_packet(self, host):
        """Whether a packet that dies on the way opens the NAT for answers."""
        with udp(host) as client:
            mapped = self.send(client, self.near[1], self.near[0])
            if mapped is None:
                return None
            arrived = self.send(client, self.far[1], self.far[0], ttl=5)
            if arrived is not None:
                return "arrives"
            return "yes" if self.send(self.far[0], mapped, client) else "no"


def verify(internet, publics, report):
    """Builds one site of each kind and tests it; returns whether all are what they should be."""
    (first, first_address), (second, second_address) = publics
    test = Test(first, first_address, second, second_address)
    is_right = True
    for number, kind in enumerate(nat.KINDS):
        site = Site(internet, f"v{number}", kind, f"85.9.{number}.1", 10)
        host = site.hosts[0]
        found = (test.mapping(host, site.addresses[0]), test.filtering(host, site.public))
        short = test.is_opened_by_short_packet(host)
        wanted_short = {"symmetric": "no", "blocked": None}.get(kind, "yes")
        fits = found == EXPECTED[kind] and short == wanted_short
        is_right = is_right and fits
        report.nat(nat.NAMES[kind], *found, short or "-", "as named" if fits else "WRONG")
        site.remove()
    test.close()
    return is_right
