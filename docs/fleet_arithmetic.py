#!/usr/bin/env python3
"""Computes what a fleet of `mysa fleet worker` costs, and where its limits are; docs/FLEET.md explains the numbers.

    python3 docs/fleet_arithmetic.py [--accounts N ...] [--thermostats N] [--capacity N] [--fleets N]
    python3 docs/fleet_arithmetic.py --check     # compares docs/FLEET.md and the source with this program
"""

import argparse
import math
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).parent.parent

# Constants of the source: name, value, file, and the text there.
FLEET = "crates/mysa-fleet/src"
CODE = {
    "lease": (30, f"{FLEET}/settings.rs", "lease: secs(30),"),
    "margin": (5, f"{FLEET}/settings.rs", "margin: secs(5),"),
    "capacity": (1_000, f"{FLEET}/settings.rs", "capacity: 1_000,"),
    "drain": (20, f"{FLEET}/settings.rs", "drain_hand_overs: 20,"),
    "starts": (2, "crates/mysa-cli/src/args/fleet.rs", 'value_name = "RATE", default_value_t = 2.0)'),
    # A renewal every quarter to third of the lease.
    "renewal": (30 * 7 / 24, f"{FLEET}/lease.rs", "settings.lease / 4 + entropy.up_to(settings.lease / 12)"),
    "most accounts": (1 << 24, f"{FLEET}/ownership.rs", "const MAX_ACCOUNTS: usize = 16 << 20;"),
    "report": (5, "crates/mysa-proto/src/command/request.rs", "requests a report about every five seconds"),
    "renewal spread": (900, "crates/mysa-cli/src/commands/fleet/fleet.rs", "RENEWAL_SPREAD: Duration = Duration::from_secs(900)"),
    "batch": (1_800, "crates/mysa-session/src/settings.rs", "It sends a batch every 12 to 30 min."),
}


def value(name):
    return CODE[name][0]


# Measured; docs/FLEET.md has the commands.
MEASURED = {
    "account memory": 0.22,  # MiB, with five thermostats
    "account processor": 0.05e-3,  # s in a second
    "account start": 14e-3,  # s of processor
    "event": 742,  # bytes
    "claim on disk": 181,  # bytes
    "claim on the wire": 244,  # bytes, with its value
    "sealed on disk": 3_123,  # bytes
    "key in memory": 240,  # bytes
    "write": 7e-6,  # s of processor of the server
    "delivery": 5.5e-6,  # s of processor of the server
}
# Default quotas that AWS publishes, for one AWS account in one region.
QUOTA = {"UserAuthentication": 120, "connections": 500_000, "connects": 500, "outbound": 20_000}
# Tokens live for an hour and are renewed 5 minutes before their end and the spread.
TOKEN = 3_600 - 300 - value("renewal spread") / 2


def short(number):
    """Three digits, with a unit of thousands."""
    for unit, size in [("G", 1e9), ("M", 1e6), ("k", 1e3)]:
        if number >= size * 0.9995:
            return f"{number / size:.3g} {unit}"
    return f"{number:.3g}"


def span(seconds):
    for unit, size in [("days", 86_400), ("h", 3_600), ("min", 60)]:
        if seconds >= size * 1.5:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.2g} s"


def rows(accounts, thermostats, capacity):
    """Quantity and value for one fleet."""
    workers = math.ceil(accounts / capacity)
    others = max(workers - 1, 1)
    renewals = workers / value("renewal")
    return [
        ("workers", f"{workers:,}"),
        ("their memory", f"{short(accounts * MEASURED['account memory'] * 2**20)}B"),
        ("their processors", f"{accounts * MEASURED['account processor']:.3g}"),
        ("renewals of sessions in a second", short(renewals)),
        ("… delivered to all workers", short(renewals * workers)),
        ("claims, memory of NATS", f"{short(accounts * MEASURED['key in memory'])}B"),
        ("claims, disk", f"{short(accounts * MEASURED['claim on disk'])}B"),
        ("sealed tokens, disk", f"{short(accounts * MEASURED['sealed on disk'])}B"),
        ("claims that a worker reads at its start", f"{short(accounts * MEASURED['claim on the wire'])}B"),
        ("a worker dies: claims delivered", short(min(capacity, accounts) * workers)),
        ("… its accounts start within", span(min(capacity, accounts) / (others * value("starts")))),
        ("all start, as fast as the workers do", span(accounts / (workers * value("starts")))),
        ("all start, at the quota of the user pool", span(accounts / QUOTA["UserAuthentication"])),
        ("renewals of tokens in a second", short(accounts / TOKEN)),
        ("events in a second, live", short(accounts * thermostats / value("report"))),
        ("… bytes in a second", f"{short(accounts * thermostats / value('report') * MEASURED['event'])}B"),
        ("events in a second, idle", short(accounts * thermostats / value("batch"))),
    ]


def table(sizes, thermostats, capacity):
    columns = [rows(accounts, thermostats, capacity) for accounts in sizes]
    lines = ["| accounts | " + " | ".join(f"{accounts:,}" for accounts in sizes) + " |"]
    lines.append("| --- |" + " ---: |" * len(sizes))
    for at, (name, _) in enumerate(columns[0]):
        lines.append(f"| {name} | " + " | ".join(column[at][1] for column in columns) + " |")
    return "\n".join(lines)


def limits(thermostats, capacity):
    """Sizes at which something bends."""
    # One core of the server for the deliveries of renewals.
    core = math.sqrt(value("renewal") / MEASURED["delivery"])
    return [
        ("thermostats that report live, over all accounts", QUOTA["outbound"] * value("report")),
        ("accounts of which all thermostats report live", QUOTA["outbound"] * value("report") // thermostats),
        ("accounts whose tokens are renewed", round(QUOTA["UserAuthentication"] * TOKEN, -3)),
        ("accounts that are connected", QUOTA["connections"]),
        ("accounts of one fleet, one core of NATS for renewals", round(core * capacity, -4)),
        ("accounts of one fleet, by the bound of a worker", value("most accounts")),
    ]


def limits_table(thermostats, capacity):
    lines = ["| limit | |", "| --- | ---: |"]
    return "\n".join(lines + [f"| {name} | {int(number):,} |" for name, number in limits(thermostats, capacity)])


SIZES = [1_000, 10_000, 100_000, 1_000_000, 10_000_000]


def check():
    wrong = []
    for name, (_, path, text) in CODE.items():
        if text not in (ROOT / path).read_text():
            wrong.append(f"{path} does not have `{text}`: correct `{name}` in docs/fleet_arithmetic.py")
    docs = (ROOT / "docs/FLEET.md").read_text()
    for name, expected in [("sizes", table(SIZES, 5, 1_000)), ("limits", limits_table(5, 1_000))]:
        for line in expected.splitlines():
            if line not in docs:
                wrong.append(f"docs/FLEET.md, table of {name}: expected `{line}`")
    if wrong:
        sys.exit("\n".join(wrong))
    print(f"docs/FLEET.md: {len(CODE)} constants of the source, {len(SIZES)} sizes of a fleet")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--accounts", type=int, nargs="+", default=SIZES)
    parser.add_argument("--thermostats", type=int, default=5, help="of one account")
    parser.add_argument("--capacity", type=int, default=value("capacity"), help="accounts of one worker")
    parser.add_argument("--fleets", type=int, default=1, help="fleets side by side, which share the accounts")
    parser.add_argument("--check", action="store_true")
    args = parser.parse_args()
    if args.check:
        return check()
    if min(args.accounts + [args.thermostats, args.capacity, args.fleets]) < 1:
        parser.error("expected positive numbers")
    if args.fleets > 1:
        print(f"Each of {args.fleets} fleets:\n")
    print(table([math.ceil(accounts / args.fleets) for accounts in args.accounts], args.thermostats, args.capacity))
    print()
    print(limits_table(args.thermostats, args.capacity))


main()
