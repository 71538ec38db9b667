#!/usr/bin/env python3
"""Checks a fleet on NATS while its workers and servers are disturbed: workers.py [--release] [--accounts N] [KIND...]

Starts a nats-server with JetStream, a simulated cloud and three workers. Once every account is live, sends commands while one
kind of trouble after another happens:

  kill, drain, stop     a worker gets SIGKILL, SIGTERM, or SIGSTOP and later SIGCONT
  nats, cloud, both     the network between a worker and NATS, the cloud, or both loses every packet for longer than a lease
  server                the server gets SIGKILL and starts again
  leader                --cluster: the same for the leader of the claims, and then for that of the sessions, of three servers
  worker-clock          --clocks: the wall clock of a worker jumps an hour ahead, an hour behind, and back
  server-clock          --clocks: that of the server

Then reads what arrived at the cloud (its list of events) and what the callers were told, and checks:

  - a connection of an account sends no command after the next owner of the account has connected;
  - every command gets one verdict, and a repeat gets the same one;
  - a command is sent by one owner alone, before its verdict and as often as its client may: see `judge_writes`;
  - the thermostat agrees with the verdict;
  - in the end every account has one owner again; steps of a clock and the loss of a leader move none.

Prints how long accounts were without reports. Requires nats-server, and nft and ip for the network; --clocks requires faketime
and qemu-user. Builds `mysa`. Where the kernel permits no network namespace, as in a container without privileges,
--without-namespaces holds the bytes of a way back in a proxy, in place of losing packets.
"""

import argparse
import collections
import glob
import json
import os
import pathlib
import platform
import random
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

import ways
from callers import Caller, Nats

WORKERS = ("a", "b", "c")
# Thermostats of the simulated home that have a heater of their own, by their place in it.
PLACES = 4
# Commands in a second, at most.
MOST_COMMANDS = 4
# Kinds of trouble that take several leases.
LEASES = {"leader": 2, "worker-clock": 3, "server-clock": 3}
# Starts in a second of one worker. The user pool of the simulated cloud throttles above 25 sign-ins in a second.
START_RATE = "8"
# Time without a change among the workers after which accounts are spread evenly, in seconds.
SETTLE = 5
# Messages that ask for reports and change nothing.
REPORTS = (6, 7, 11)
# Longer than anything takes on a slow machine; it only ends a hang.
HANG = 1800
# Time before a verdict in which bytes that were sent cannot be recalled, in seconds.
RECALL = 2
# Messages of one command, each with an id of its own: the first, and Settings::command_repeats of mysa-session.
MESSAGES = 1 + 3
STRUCTURED = "the structured service"


class Clock:
    """The wall clock of a process, by libfaketime. The monotonic clock stays true."""

    def __init__(self, path):
        self.path = path
        self.step(0)

    def step(self, seconds):
        """Sets the clock to this number of seconds after the true time. The process notices within a second."""
        new = self.path.with_suffix(".new")
        new.write_text(f"{seconds:+}\n")
        new.rename(self.path)

    def environment(self):
        [library] = glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")
        return {"LD_PRELOAD": library, "FAKETIME_TIMESTAMP_FILE": str(self.path), "FAKETIME_CACHE_DURATION": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}


class Trouble:
    """What was done to a worker or a server, and what followed."""

    def __init__(self, what, worker=None, owned=()):
        self.what, self.worker, self.owned = what, worker, owned
        self.begun = time.time()
        self.ended = None
        # Time to the next live state of each account, after the trouble or after it has had its effect.
        self.returned = {}


class Check:
    def __init__(self, options, folder, network):
        self.options, self.folder, self.network = options, folder, network
        self.random = random.Random(options.seed)
        self.children = []
        self.workers, self.servers, self.clocks = {}, {}, {}
        self.states = {}
        self.newest = {}
        self.wrong = []
        self.troubles = []
        # Accounts whose next live state is awaited, and since when.
        self.absent, self.since = set(), 0
        target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", "target"))
        self.mysa = str((target / ("release" if options.release else "debug") / "mysa").resolve())
        self.env = dict(os.environ, HOME=str(folder), XDG_CONFIG_HOME=f"{folder}/config", XDG_STATE_HOME=f"{folder}/state")

    def start(self, *command, out, err, clock=None):
        env = self.env
        if self.options.clocks and clock:
            if clock not in self.clocks:
                self.clocks[clock] = Clock(self.folder / f"{clock}.clock")
            env = dict(env, **self.clocks[clock].environment())
        with open(self.folder / out, "ab") as stdout, open(self.folder / err, "ab") as stderr:
            child = subprocess.Popen(command, stdout=stdout, stderr=stderr, cwd=self.folder, env=env)
        self.children.append(child)
        return child

    def wait_for(self, what, condition):
        limit = time.monotonic() + HANG
        while not (found := condition()):
            if time.monotonic() > limit:
                self.show_logs()
                sys.exit(f"never: {what}")
            time.sleep(0.2)
        return found

    def show_logs(self):
        for log in sorted(self.folder.glob("*.log")):
            print(f"-- {log.name}", *log.read_text(errors="replace").splitlines()[-15:], sep="\n", file=sys.stderr)

    def worker(self, name):
        cloud = self.network.address(name, ways.CLOUD, int(self.cloud["address"].rsplit(":", 1)[1]))
        arguments = ["--ca", "ca.pem", "--connect-to", cloud, "fleet", "worker"]
        servers = [f"nats://{self.network.address(name, ways.NATS, port)}" for port in self.ports.values()]
        arguments += ["--nats", ",".join(servers), "--replicas", str(len(servers))]
        arguments += ["--worker", name, "--accounts", f"{name}.toml"]
        arguments += ["--control", f"{name}.sock", "--start-rate", START_RATE, "--settle", str(SETTLE)]
        arguments += ["--lease", str(self.options.lease)]
        # Its states are read from NATS.
        self.workers[name] = self.start(self.mysa, *arguments, out=os.devnull, err=f"{name}.log", clock=name)

    def server(self, name):
        arguments = ["-js", "-sd", f"js-{name}", "-a", "127.0.0.1", "-p", str(self.ports[name]), "-n", name]
        if self.options.cluster:
            routes = ",".join(f"nats://127.0.0.1:{port}" for port in self.routes.values())
            arguments += ["--cluster_name", "check", "--cluster", f"nats://127.0.0.1:{self.routes[name]}", "--routes", routes, "--no_advertise"]
        log = self.folder / f"{name}.log"
        before = log.read_text().count("Server is ready") if log.exists() else 0
        # A program in Go asks the kernel for the time and not the C library. The emulator asks the library.
        emulator = [f"qemu-{platform.machine()}", "-U", "LD_PRELOAD"] if self.options.clocks else []
        self.servers[name] = self.start(*emulator, "/usr/sbin/nats-server", *arguments, out=f"{name}.log", err=f"{name}.log", clock="server")
        self.wait_for(f"the server {name}", lambda: log.read_text().count("Server is ready") > before)

    def prepare(self):
        names = ["n1", "n2", "n3"] if self.options.cluster else ["n1"]
        self.ports = {name: free_port() for name in names}
        self.routes = {name: free_port() for name in names}
        for name in names:
            self.server(name)
        # A schedule would set thermostats in the middle of the run, at certain times of the day.
        cloud = ["--accounts", str(self.options.accounts), "--no-schedules"]
        self.start(self.mysa, "sim", "--listen", "127.0.0.1:0", "--ca", "ca.pem", "--json", *cloud, out="cloud", err="cloud.log")
        self.cloud = self.wait_for("the cloud", lambda: json.loads((self.folder / "cloud").read_text() or "null"))
        self.control = ["sim", "ctl", "--control", self.cloud["control"], "--json", "--show-private"]
        self.start(self.mysa, *self.control, "events", out="wire", err="wire.log")
        (self.folder / "password").write_text(self.cloud["accounts"][0]["password"] + "\n")
        os.chmod(self.folder / "password", 0o600)
        self.accounts = {}
        for number, account in enumerate(self.cloud["accounts"], 1):
            self.accounts[f"home-{number}"] = account
        for name in WORKERS:
            text = f'sessions = "sessions-{name}"\n'
            for account, known in self.accounts.items():
                text += f'[[account]]\nname = "{account}"\nemail = "{known["email"]}"\npassword-file = "password"\n'
            (self.folder / f"{name}.toml").write_text(text)
            os.chmod(self.folder / f"{name}.toml", 0o600)
        self.nats = Nats(list(self.ports.values()))
        self.wait_for("JetStream", lambda: (answer := self.nats.ask("$JS.API.INFO")) and b'"error"' not in answer[1])
        _, self.published = self.nats.subscribe("mysa.fleet.event.>")
        threading.Thread(target=self.follow, daemon=True).start()

    def follow(self):
        """Notes when each owner first showed a live state of its account."""
        while True:
            _, _, body = self.published.get()
            event = json.loads(body)
            if event.get("event") == "device" and event.get("link") == "live":
                account, owner, now = event["account"], event["owner"], time.time()
                self.states.setdefault((account, owner), now)
                self.newest[account] = max(owner, self.newest.get(account, 0))
                if account in self.absent:
                    self.troubles[-1].returned[account] = now - self.since
                    self.absent.discard(account)

    def owner(self, account):
        """The newest owner of an account that has shown a live state; 0 if none has."""
        return self.newest.get(account, 0)

    def owned_by(self, name):
        """Accounts of a worker, by its log, with the revisions of its claims."""
        owned = {}
        for line in (self.folder / f"{name}.log").read_text().splitlines():
            if found := re.search(r"fleet: (home-\d+): claimed at revision (\d+)", line):
                owned[found[1]] = int(found[2])
            elif found := re.search(r"fleet: (home-\d+): released", line):
                owned.pop(found[1], None)
            elif "session" in line and "begun" in line:
                owned.clear()
        return owned

    def claims(self):
        """The revision of the claim of each account that a worker owns."""
        return {account: revision for name in WORKERS for account, revision in self.owned_by(name).items()}

    def settled(self):
        """Waits until no account is handed over any more, and returns the claims."""
        while True:
            claims = self.claims()
            time.sleep(2 * SETTLE)
            if len(claims) == len(self.accounts) and claims == self.claims():
                return claims

    def all_live(self):
        return all(self.owner(account) for account in self.accounts)

    def await_live(self, accounts):
        """Waits until each of these accounts shows a live state again."""
        self.since, self.absent = time.time(), set(accounts)
        self.wait_for("live states", lambda: not self.absent)

    def commands(self, until):
        """Sends commands until an event is set, each to a thermostat of its own."""
        homes = list(self.accounts)
        targets = [(home, place) for home in homes for place in range(PLACES)]
        self.random.shuffle(targets)
        # So that there are commands until the end.
        leases = sum(2 * LEASES.get(kind, 1) for kind in self.options.kinds) + 1
        pause = max(1 / MOST_COMMANDS, leases * (self.options.lease + 2 * SETTLE) / len(targets))
        self.callers, threads = [], []
        for number, (home, place) in enumerate(targets):
            device = self.accounts[home]["devices"][place]
            caller = Caller(self.nats, number, home, device, self.random.choice([16.5, 21.5, 22.5, 23.5]))
            self.callers.append(caller)
            threads.append(threading.Thread(target=caller.run, daemon=True))
            threads[-1].start()
            if until.wait(pause):
                break
        for thread in threads:
            thread.join(HANG)

    def victim(self):
        """The worker with the most accounts, and these with their owners."""
        owned = {name: {account: owner for account, owner in self.owned_by(name).items() if owner == self.owner(account)} for name in WORKERS}
        name = max(WORKERS, key=lambda name: len(owned[name]))
        return name, owned[name]

    def trouble(self, what, worker=None, owned=()):
        counted = f", which owns {len(owned)} accounts" if worker else ""
        print(f"{what}{' of ' + worker if worker else ''}{counted}", flush=True)
        self.troubles.append(Trouble(what, worker, owned))
        return self.troubles[-1]

    def hold(self, trouble):
        """Waits until a lease that was renewed last before the trouble is over for certain."""
        time.sleep(max(0, trouble.begun + self.options.lease + 5 - time.time()))

    def await_owners(self, trouble):
        """Waits until another owner shows each account live."""
        taken = lambda: all(self.owner(account) > owner for account, owner in trouble.owned.items())
        self.wait_for(f"owners after {trouble.what}", taken)

    def kill(self, how=signal.SIGKILL):
        name, owned = self.victim()
        trouble = self.trouble(how.name, name, owned)
        self.workers[name].send_signal(how)
        self.await_owners(trouble)
        self.workers[name].wait()
        self.worker(name)

    def drain(self):
        self.kill(signal.SIGTERM)

    def stop(self):
        name, owned = self.victim()
        trouble = self.trouble("SIGSTOP", name, owned)
        self.workers[name].send_signal(signal.SIGSTOP)
        self.await_owners(trouble)
        self.hold(trouble)
        # It goes on after its lease, with all that it had in hand.
        self.workers[name].send_signal(signal.SIGCONT)

    def cut(self, *sides):
        name, owned = self.victim()
        trouble = self.trouble(f"loss of the network to {' and '.join(sides)}", name, owned)
        lost = self.network.lost() if self.options.namespaces else 0
        for side in sides:
            self.network.cut(name, side)
        if ways.NATS in sides:
            self.await_owners(trouble)
        self.hold(trouble)
        if self.options.namespaces:
            lost = self.network.lost() - lost
            print(f"  {lost} packets were lost")
            if lost == 0:
                self.wrong.append(f"{trouble.what}: no packet was lost")
        for side in sides:
            self.network.heal(name, side)
        trouble.ended = time.time()
        if ways.NATS not in sides:
            self.await_live(owned)
        # It has a session again, or it never lost it.
        self.wait_for("a worker that is back", lambda: self.has_session(name))

    def has_session(self, name):
        lines = (self.folder / f"{name}.log").read_text().splitlines()
        changes = [line for line in lines if re.search(r"fleet: session (over|\w+ begun)", line)]
        return bool(changes) and "begun" in changes[-1]

    def nats_side(self):
        self.cut(ways.NATS)

    def cloud_side(self):
        self.cut(ways.CLOUD)

    def both_sides(self):
        self.cut(ways.NATS, ways.CLOUD)

    def kept(self, trouble, claims):
        """Counts the accounts that have another owner than before."""
        moved = sum(claims[account] != revision for account, revision in self.claims().items())
        print(f"  {moved} accounts have another owner after it", flush=True)
        return moved

    def restart(self, name, what):
        claims = self.settled()
        trouble = self.trouble(what)
        self.servers[name].kill()
        self.servers[name].wait()
        time.sleep(2)
        self.server(name)
        return trouble, claims

    def server_restart(self):
        trouble, claims = self.restart("n1", "SIGKILL of the server")
        # Each worker renews its lease in this time, or has lost it.
        time.sleep(self.options.lease)
        trouble.ended = time.time()
        self.kept(trouble, claims)

    def stream(self, bucket):
        answer = self.nats.ask(f"$JS.API.STREAM.INFO.KV_mysa-fleet-{bucket}")
        return json.loads(answer[1]).get("cluster", {}) if answer else {}

    def has_replicas(self, bucket):
        replicas = self.stream(bucket).get("replicas", [])
        return len(replicas) == 2 and all(replica.get("current") and not replica.get("offline") for replica in replicas)

    def leader(self):
        for bucket in ("claims", "workers"):
            self.wait_for(f"replicas of {bucket}", lambda: self.has_replicas(bucket))
            leader = self.wait_for("a leader", lambda: self.stream(bucket).get("leader"))
            trouble, claims = self.restart(leader, f"SIGKILL of the leader of the {bucket}")
            self.await_live(self.accounts)
            time.sleep(self.options.lease)
            trouble.ended = time.time()
            if self.kept(trouble, claims):
                self.wrong.append(f"{trouble.what}: the loss of a leader moved accounts")
            self.wait_for(f"replicas of {bucket}", lambda: self.has_replicas(bucket))
            if self.wait_for("a leader", lambda: self.stream(bucket).get("leader")) == leader:
                print(f"  {leader} leads again")

    def steps(self, clock, what, worker=None, owned=()):
        claims = self.settled()
        for offset in (3_600, -3_600, 0):
            trouble = self.trouble(f"{what} at {offset:+} s", worker, owned)
            self.clocks[clock].step(offset)
            self.hold(trouble)
            self.await_live(self.accounts)
            trouble.ended = time.time()
            if self.kept(trouble, claims):
                self.wrong.append(f"{trouble.what}: a step of a wall clock moved accounts")

    def worker_clock(self):
        self.settled()
        name, owned = self.victim()
        self.steps(name, "clock", name, owned)

    def server_clock(self):
        self.steps("server", "clock of the server")

    def run(self):
        self.prepare()
        begun = time.time()
        for name in WORKERS:
            self.worker(name)
        self.wait_for("all live", self.all_live)
        print(f"{len(self.accounts)} accounts live after {time.time() - begun:.1f} s", flush=True)
        # Each worker has its share, so that there is something to take over.
        share = len(self.accounts) // 10
        self.wait_for("a share for each", lambda: all(len(self.owned_by(name)) >= share for name in WORKERS))
        over = threading.Event()
        commands = threading.Thread(target=self.commands, args=(over,))
        commands.start()
        for kind in self.options.kinds:
            KINDS[kind](self)
        over.set()
        commands.join()
        self.wait_for("one owner for each", lambda: sum(len(self.owned_by(name)) for name in WORKERS) == len(self.accounts))
        repeats = [(caller, caller.ask()) for caller in self.callers]
        devices = json.loads(subprocess.check_output([self.mysa, *self.control, "devices"], cwd=self.folder, env=self.env))
        time.sleep(2)
        for name in WORKERS:
            self.workers[name].send_signal(signal.SIGTERM)
            self.workers[name].wait()
        return self.judge(repeats, {device["id"]: device for device in devices})

    def judge_writes(self, caller, writes, again):
        """Judges the writes of one command, and counts those that its client may send again while it is undecided.

        A message that the broker has not acknowledged is sent again on its connection, with the same bytes; after a loss of
        packets, all copies arrive together. One that no thermostat has answered is sent again with a new id, a few times. If MQTT
        fails, the structured service takes the command once. All of that ends with the verdict and with the owner.
        """
        wrong = lambda text: self.wrong.append(f"{caller.id}: {text}: {caller.verdict} {writes}")
        messages = list(dict.fromkeys((way, message) for _, way, message in writes))
        ids = [message for way, message in messages if way != STRUCTURED]
        if len(ids) != len(set(ids)):
            wrong("one message came by two connections")
        if len(ids) > MESSAGES or len(messages) - len(ids) > 1:
            wrong(f"sent as {len(messages)} messages")
        ways = [way for _, way, _ in writes]
        if STRUCTURED in ways and set(ways[ways.index(STRUCTURED) :]) != {STRUCTURED}:
            wrong("sent by MQTT after the structured service")
        if writes and (after := writes[-1][0] - caller.decided) > RECALL:
            wrong(f"arrived {after:.1f} s after its verdict")
        owner = caller.verdict.get("owner")
        next_owners = [at for (account, other), at in self.states.items() if account == caller.account and owner and other > owner]
        if writes and next_owners and writes[-1][0] > min(next_owners):
            wrong("arrived after the next owner was live")
        again["the same message"] += len(writes) - len(messages)
        again["with a new id"] += max(0, len(ids) - 1)
        again[f"by {STRUCTURED}"] += len(messages) - len(ids) if ids else 0

    def judge(self, repeats, devices):
        wrong = self.wrong
        account_of, opened, closed, delivered = {}, collections.defaultdict(list), {}, collections.defaultdict(list)
        sent = collections.defaultdict(list)
        email = {known["email"]: name for name, known in self.accounts.items()}
        expected = late = 0
        for line in (self.folder / "wire").read_text().splitlines():
            event = json.loads(line)
            at = event.get("unix_ms", 0) / 1000
            kind = event["event"]
            expected += 1
            if "number" in event and event["number"] != expected and expected > 1:
                wrong.append(f"the list of the cloud lacks events before {event['number']}")
            expected = event.get("number", expected)
            if kind == "opened":
                account_of[event["conn"]] = email[event["account"]]
            elif kind == "subscribed" and event["conn"] in account_of:
                opened[account_of[event["conn"]]].append((at, event["conn"]))
            elif kind == "closed":
                closed[event["conn"]] = at
            elif kind == "delivered":
                delivered[event["topic"].split("/")[3]].append(at)
            elif kind == "published":
                conn, account = event["conn"], account_of.get(event["conn"])
                # A process that goes on after its lease can connect for a moment.
                newest = max((other for _, other in opened[account] if other not in closed), default=conn)
                payload = json.loads(event["payload"])
                if payload.get("MsgType") in REPORTS:
                    late += conn < newest
                    continue
                sent[event["topic"].split("/")[3]].append((at, conn, event["payload"]))
                if conn < newest:
                    wrong.append(f"{account}: connection {conn} wrote after connection {newest} was open: {line[:300]}")
            elif kind == "command" and event["origin"] == "rest":
                sent[event["device"]].append((at - event["at_s"] + event["taken_at_s"], STRUCTURED, event["request"]))
            elif kind == "command" and event["origin"] != "mqtt":
                wrong.append(f"{event['device']}: a command of the origin {event['origin']}, which no worker has: {event['wanted']}")
        verdicts, again = collections.Counter(), collections.Counter()
        for caller, repeat in repeats:
            first = caller.verdict
            if first is None or repeat is None:
                wrong.append(f"{caller.id}: no verdict")
                continue
            verdicts[verdict(first)] += 1
            if (first["verdict"], first.get("owner")) != (repeat["verdict"], repeat.get("owner")):
                wrong.append(f"{caller.id}: two verdicts: {first} {repeat}")
            writes = sorted(sent.get(caller.device, []), key=lambda write: write[0])
            self.judge_writes(caller, writes, again)
            holds = devices[caller.device]["setpoint_c"] == caller.setpoint
            if first["verdict"] == "confirmed" and not holds:
                wrong.append(f"{caller.id}: confirmed, and the thermostat holds another value: {first}")
            if first["verdict"] in ("refused", "expired") and (holds or writes):
                wrong.append(f"{caller.id}: {first['verdict']}, and it was sent: {first}")
        if not sent or not verdicts["confirmed"]:
            wrong.append("no command reached a thermostat")
        print(f"{len(repeats)} commands: {counts(verdicts)}")
        print(f"sent again while undecided: {counts(again)}")
        print(f"time to the verdict: {spread([caller.seconds for caller in self.callers if caller.decided])}")
        for trouble in self.troubles:
            took, gaps = [], []
            for account, owner in trouble.owned.items() if trouble.owned else ():
                live = [at for (of, by), at in self.states.items() if of == account and by > owner and at > trouble.begun]
                if trouble.returned or not live:
                    continue
                took.append(min(live) - trouble.begun)
                after = [at for at, conn in opened[account] if at > trouble.begun]
                reports = sorted(at for device in self.accounts[account]["devices"] for at in delivered[device])
                earlier = [at for at in reports if at <= (trouble.begun if trouble.what != "SIGTERM" else after[0])]
                later = [at for at in reports if after and at >= after[0]]
                if earlier and later:
                    gaps.append(later[0] - earlier[-1])
            print(f"{trouble.what}{' of ' + trouble.worker if trouble.worker else ''}:", end="")
            if took:
                print(f" {len(took)} accounts, live with the next owner after {spread(took)}; without reports for {spread(gaps)}", end="")
            elif trouble.returned:
                print(f" {len(trouble.returned)} accounts, next live state after {spread(list(trouble.returned.values()))}", end="")
            if trouble.ended:
                asked = [caller for caller in self.callers if trouble.begun <= caller.begun <= trouble.ended]
                during = collections.Counter(verdict(caller.verdict) for caller in asked if caller.verdict)
                print(f"; commands meanwhile: {counts(during)}", end="")
            print()
        for text in wrong[:20]:
            print(f"WRONG: {text}")
        print(f"{late} requests for reports after the next owner had connected")
        print(f"{len(wrong)} violations; {expected} events at the cloud, {len(account_of)} connections")
        return not wrong


KINDS = {
    "kill": Check.kill,
    "drain": Check.drain,
    "stop": Check.stop,
    "nats": Check.nats_side,
    "cloud": Check.cloud_side,
    "both": Check.both_sides,
    "server": Check.server_restart,
    "leader": Check.leader,
    "worker-clock": Check.worker_clock,
    "server-clock": Check.server_clock,
}


def verdict(answer):
    return answer["verdict"] + (" (owner lost)" if "owner lost" in answer["message"] else "")


def counts(verdicts):
    return ", ".join(f"{count} {name}" for name, count in sorted(verdicts.items())) or "none"


def spread(seconds):
    seconds = sorted(seconds)
    if not seconds:
        return "nothing"
    at = lambda part: seconds[min(len(seconds) - 1, int(len(seconds) * part))]
    return f"{at(0.5):.2f} s (median), {at(0.99):.2f} s (99 %), {seconds[-1]:.2f} s (longest)"


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("kinds", metavar="KIND", nargs="*", help="kinds of trouble, in this order [default: each that the other options permit]")
    parser.add_argument("--accounts", type=int, default=30)
    parser.add_argument("--lease", type=int, help="seconds [default: 10; 30 with --cluster or --clocks]")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--cluster", action="store_true", help="three servers, and three copies of each bucket")
    parser.add_argument("--clocks", action="store_true", help="wall clocks that can be stepped")
    parser.add_argument("--without-namespaces", dest="namespaces", action="store_false", help="cut ways to NATS by a proxy")
    parser.add_argument("--release", action="store_true", help="build with --release")
    parser.add_argument("--keep", action="store_true", help="keep the folder with the logs")
    options = parser.parse_args()
    # A cluster elects a leader within ten seconds, and an emulated server is slow.
    options.lease = options.lease or (30 if options.cluster or options.clocks else 10)
    possible = {
        "server": not options.cluster,
        "leader": options.cluster,
        "worker-clock": options.clocks,
        "server-clock": options.clocks,
        # A proxy has taken what it holds, so a command that is aborted would arrive all the same.
        "cloud": options.namespaces,
        "both": options.namespaces,
    }
    for kind in options.kinds:
        if kind not in KINDS:
            parser.error(f"unknown kind of trouble: {kind}; expected {', '.join(KINDS)}")
        if not possible.get(kind, True):
            parser.error(f"{kind} is not possible with these options")
    options.kinds = options.kinds or [kind for kind in KINDS if possible.get(kind, True)]
    needed = {"/usr/sbin/nats-server": "nats-server"}
    if options.clocks:
        needed |= {"/usr/lib/*/faketime/libfaketimeMT.so.1": "faketime", f"/usr/bin/qemu-{platform.machine()}": "qemu-user"}
    for path, package in needed.items():
        if not glob.glob(path):
            sys.exit(f"workers.py: needs {path} (apt-get install {package})")
    return options


def main():
    options = arguments()
    os.chdir(pathlib.Path(__file__).resolve().parent.parent.parent)
    profile = ["--release"] if options.release else []
    subprocess.run(["cargo", "build", "--quiet", "--locked", "-p", "mysa-cli", *profile], check=True)
    try:
        network = ways.Namespace(WORKERS) if options.namespaces else ways.Proxies()
    except ways.Unavailable as error:
        sys.exit(
            f"workers.py: no network namespace: {error}. Run it as root, or where users may have namespaces, with nft "
            "and ip (apt-get install nftables iproute2), or with --without-namespaces, by which no packet is lost"
        )
    print(f"seed {options.seed}, lease {options.lease} s, {', '.join(options.kinds)}", flush=True)
    folder = pathlib.Path(tempfile.mkdtemp())
    check = Check(options, folder, network)
    try:
        passed = check.run()
    finally:
        for child in check.children:
            if child.poll() is None:
                child.send_signal(signal.SIGCONT)
                child.kill()
        if options.keep:
            print(f"logs: {folder}")
        else:
            subprocess.run(["rm", "-rf", str(folder)], check=True)
    sys.exit(not passed)


if __name__ == "__main__":
    main()
