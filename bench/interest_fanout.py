#!/usr/bin/env python3
"""How much interest travels and is kept when N gateways stand before an M-node bus.

    bench/interest_fanout.py --connections 10000000 --gateways 40 --nodes 5 --subscriptions 2 --shared 0.5

A deterministic model, nothing is started: it deals connections to gateways, counts which subject patterns each gateway
has to announce over its link (each pattern once, however many clients want it), what each bus node keeps for its own links
and learns from the others, and what a gateway that reconnects sends again. Inboxes cost one pattern a gateway. Costs per
entry are arguments, with the measured defaults of docs/benchmarks.md.
"""

import argparse
import random


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    whole, real = {"type": int}, {"type": float}
    parser.add_argument("--connections", default=1_000_000, help="clients outside", **whole)
    parser.add_argument("--gateways", default=4, help="gateways, each with one active link", **whole)
    parser.add_argument("--nodes", default=3, help="bus nodes, each told everything by the others", **whole)
    parser.add_argument("--subscriptions", default=2, help="subscriptions of a client, its inbox not counted", **whole)
    parser.add_argument("--shared", default=0.5, help="part of them that are on common subjects", **real)
    parser.add_argument("--common", default=10_000, help="how many common subjects there are", **whole)
    parser.add_argument("--gateway-bytes", default=135, help="bytes of a subscription in a gateway", **whole)
    parser.add_argument("--bus-bytes", default=135, help="bytes of an entry in a bus node (nats-server: 1129)", **whole)
    parser.add_argument("--line-bytes", default=40, help="bytes of an interest line on a link", **whole)
    parser.add_argument("--lines-per-second", default=500_000, help="interest lines a link takes in a second", **whole)
    parser.add_argument("--sample", default=200_000, help="clients simulated one by one; the rest is scaled up", **whole)
    parser.add_argument("--seed", default=1, **whole)
    return parser.parse_args()


def simulate(a):
    """Patterns each gateway announces, from a sample of the clients dealt at random."""
    dice = random.Random(a.seed)
    sample = min(a.sample, a.connections)
    own = [0] * a.gateways
    common = [set() for _ in range(a.gateways)]
    for _ in range(sample):
        at = dice.randrange(a.gateways)
        for _ in range(a.subscriptions):
            if dice.random() < a.shared:
                common[at].add(dice.randrange(a.common))
            else:
                own[at] += 1
    scale = a.connections / sample
    per_gateway = a.connections / a.gateways * a.subscriptions * a.shared
    # Of `common` subjects drawn so often, this many are drawn at least once.
    seen = a.common * (1 - (1 - 1 / a.common) ** per_gateway) if a.common else 0
    drawn = max(len(one) for one in common) if common else 0
    return [count * scale for count in own], max(seen, drawn if scale == 1 else 0)


def main():
    a = arguments()
    own, common = simulate(a)
    announced = [1 + count + common for count in own]
    largest, total = max(announced), sum(announced)
    # The same common subject announced by several gateways is one entry per gateway at the node they link to, and one
    # per node further on.
    distinct = sum(own) + common + a.gateways
    linked = total / a.nodes
    routed = (distinct - linked if distinct > linked else 0) if a.nodes > 1 else 0
    node_bytes = (linked + routed) * a.bus_bytes
    rows = [
        ("clients per gateway", a.connections / a.gateways, ""),
        ("subscriptions per gateway", a.connections / a.gateways * (a.subscriptions + 1), ""),
        ("  memory for them", a.connections / a.gateways * (a.subscriptions + 1) * a.gateway_bytes / 2**20, "MiB"),
        ("patterns announced, largest gateway", largest, ""),
        ("  sent again after a reconnect", largest * a.line_bytes / 2**20, "MiB"),
        ("  which takes", largest / a.lines_per_second, "s"),
        ("entries per bus node, from its links", linked, ""),
        ("entries per bus node, from other nodes", routed, ""),
        ("  memory for them", node_bytes / 2**20, "MiB"),
        ("lines between nodes when a node joins", distinct, ""),
    ]
    for name, value, unit in rows:
        print(f"{name:<42}{value:>16,.1f} {unit}".rstrip())


if __name__ == "__main__":
    main()
