"""The lab's internet: a router in the middle, public hosts around it, and sites behind NATs."""
import nat
from namespaces import link

# What the router in the middle calls itself on every link.
MIDDLE = "169.254.1.1"
# What a site's router calls itself towards a host with a public address.
NEAR = "169.254.1.2"
# Packets whose time to live is below this on arrival in the middle go no further, as if the way
# were long: what opens a NAT on its near side must not reach the far side.
HOPS = 20


class Internet:
    """Every host has an address of its own, announced to nobody outside of these namespaces."""

    def __init__(self, place):
        self.place = place
        self.middle = place.namespace("middle")
        self.middle.set("ipv4/ip_forward", 1)
        self.middle.nft(f"""
            table ip middle {{
                chain forward {{
                    type filter hook forward priority filter; policy accept;
                    ip ttl < {HOPS} drop
                    ip daddr {{ 10.0.0.0/8, 100.64.0.0/10, 172.16.0.0/12, 192.168.0.0/16 }} drop
                    ip saddr {{ 10.0.0.0/8, 100.64.0.0/10, 172.16.0.0/12, 192.168.0.0/16 }} drop
                }}
            }}""")

    def attach(self, one, address, own=None, device="wan"):
        """Leads a public address to a namespace, which has it itself or, with `own`, passes it on."""
        near = f"to-{one.short}"[:15]
        link(self.middle, near, one, device)
        self.middle.ip("address", "add", f"{MIDDLE}/32", "dev", near)
        self.middle.ip(
            "route", "add", f"{address}/32", "via", own or address, "dev", near, "onlink")
        one.ip("address", "add", f"{own or address}/32", "dev", device)
        one.ip("route", "add", "default", "via", MIDDLE, "dev", device, "onlink")

    def host(self, short, address):
        one = self.place.namespace(short)
        self.attach(one, address)
        return one


class Site:
    """One or more hosts behind a router of some kind. Every site uses the same private network,
    as homes do; the hosts' numbers differ, so that an address says whose it is."""

    def __init__(self, internet, short, kind, public, number, hosts=1):
        self.internet = internet
        self.kind = kind
        self.public = public
        place = internet.place
        self.router = place.namespace(f"{short}-router")
        self.router.set("ipv4/ip_forward", 1)
        internet.attach(self.router, public, own=NEAR if kind == "open" else None)
        self.namespaces = [self.router]
        outer = self.router
        if kind == "double":
            outer = self.inner_router(place, short)
        outer.ip("link", "add", "lan", "type", "bridge")
        outer.ip("link", "set", "lan", "up")
        outer.ip("address", "add", "192.168.1.1/24", "dev", "lan")
        self.addresses = [f"192.168.1.{number + index}" for index in range(hosts)]
        self.hosts = []
        for index, address in enumerate(self.addresses):
            host = place.namespace(f"{short}-host{index}")
            link(outer, f"port{index}", host, "eth0")
            outer.ip("link", "set", f"port{index}", "master", "lan")
            host.ip("address", "add", f"{address}/24", "dev", "eth0")
            host.ip("route", "add", "default", "via", "192.168.1.1")
            self.hosts.append(host)
            self.namespaces.append(host)
        if kind == "open":
            self.open_up()
        else:
            self.router.nft(nat.rules(kind, public, self.addresses[0]))

    def inner_router(self, place, short):
        """A home router behind the provider's."""
        inner = place.namespace(f"{short}-inner")
        inner.set("ipv4/ip_forward", 1)
        link(self.router, "below", inner, "wan")
        self.router.ip("address", "add", "100.64.1.1/24", "dev", "below")
        inner.ip("address", "add", "100.64.1.2/24", "dev", "wan")
        inner.ip("route", "add", "default", "via", "100.64.1.1")
        inner.nft(nat.rules("port", "100.64.1.2", None))
        self.namespaces.append(inner)
        return inner

    def move(self, index=0):
        """Gives a host another private address, as after a change of networks."""
        host = self.hosts[index]
        host.ip("address", "flush", "dev", "eth0")
        first, last = self.addresses[index].rsplit(".", 1)
        self.addresses[index] = f"{first}.{int(last) + 100}"
        host.ip("address", "add", f"{self.addresses[index]}/24", "dev", "eth0")
        host.ip("route", "add", "default", "via", "192.168.1.1")

    def open_up(self):
        """The host itself has the public address; the router only passes packets on."""
        host = self.hosts[0]
        host.ip("address", "flush", "dev", "eth0")
        host.ip("address", "add", f"{self.public}/32", "dev", "eth0")
        host.ip("route", "add", "default", "via", NEAR, "dev", "eth0", "onlink")
        self.router.ip("route", "add", f"{self.public}/32", "dev", "lan")
        self.addresses = [self.public]

    def remove(self):
        for one in reversed(self.namespaces):
            self.internet.place.remove(one)
