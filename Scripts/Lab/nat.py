"""Routers by kind, as nftables rules, in the words of RFC 4787 (sections 4.1 and 5).

  kind       mapping                          filtering
  cone       endpoint-independent             endpoint-independent
  address    endpoint-independent             address-dependent
  port       endpoint-independent             address and port-dependent
  symmetric  address and port-dependent       address and port-dependent
  double     as port, twice
  blocked    no UDP passes

Linux's own `masquerade` is the kind `port`; with `fully-random` it is `symmetric`. For the other
two, the mapped port is a hash of the host's port, which makes the mapping endpoint-independent and
unlike the host's port; and what came out of it is written into tables whose entries live for a
while, by which new flows are let in.
"""

KINDS = ["open", "cone", "address", "port", "symmetric", "double", "blocked"]

NAMES = {
    "open": "open", "cone": "full cone", "address": "address-restricted",
    "port": "port-restricted", "symmetric": "symmetric", "double": "double NAT",
    "blocked": "UDP blocked",
}

# How long a mapping lives after the last packet from inside, as Linux's own do.
LIFETIME = "30s"

# A packet for the router's own ports must leave no trace: a flow that is known from outside first
# would make the router choose another port for the flow from inside.
CLOSED = """
    chain input {
        type filter hook input priority filter; policy drop;
        iifname != "wan" accept
        ct state established,related accept
        ip protocol icmp accept
    }
"""


def rules(kind, public, host):
    """What makes a router with `wan` outside of the given kind.

    `host` is the only one inside; the kinds cone and address need to know it.
    """
    body = {
        "cone": lambda: cone(public, host, "udp dport @ports"),
        "address": lambda: cone(public, host, "ip saddr . udp dport @contacted"),
        "port": lambda: masquerade(""),
        "double": lambda: masquerade(""),
        "symmetric": lambda: masquerade(" fully-random"),
        "blocked": lambda: masquerade("") + blocked(),
    }[kind]()
    return f"table ip site {{ {CLOSED} {body} }}\n"


def masquerade(how):
    return f"""
    chain source {{
        type nat hook postrouting priority srcnat;
        oifname "wan" masquerade{how}
    }}
    chain forward {{
        type filter hook forward priority filter; policy accept;
        iifname "wan" ct state new drop
    }}
    """


def blocked():
    return """
    chain nodatagrams {
        type filter hook forward priority filter - 1; policy accept;
        ip protocol udp drop
    }
    """


def cone(public, host, known):
    return f"""
    map inside {{
        type inet_service : inet_service
        flags dynamic,timeout
        timeout {LIFETIME}
        size 65535
    }}
    set ports {{
        type inet_service
        flags dynamic,timeout
        timeout {LIFETIME}
        size 65535
    }}
    set contacted {{
        type ipv4_addr . inet_service
        flags dynamic,timeout
        timeout {LIFETIME}
        size 65535
    }}
    chain source {{
        type nat hook postrouting priority srcnat;
        oifname "wan" ip protocol udp snat to {public} : jhash udp sport mod 60000 seed 0x1 offset 5000
        oifname "wan" masquerade
    }}
    chain note {{
        type filter hook postrouting priority srcnat + 50;
        oifname "wan" ip protocol udp update @contacted {{ ip daddr . udp sport }}
        oifname "wan" ip protocol udp update @ports {{ udp sport }}
        oifname "wan" ip protocol udp ct direction original update @inside {{ udp sport : ct original proto-src }}
        oifname "wan" ip protocol udp ct direction reply update @inside {{ udp sport : ct reply proto-src }}
    }}
    chain destination {{
        type nat hook prerouting priority dstnat;
        iifname "wan" {known} dnat to {host} : udp dport map @inside
    }}
    chain forward {{
        type filter hook forward priority filter; policy accept;
        ct status dnat accept
        iifname "wan" ct state new drop
    }}
    """
