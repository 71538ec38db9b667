#!/usr/bin/env python3
"""Checks a fleet on NATS while its workers are killed, drained, stopped and cut off: workers.py [--release] [--accounts N]

Starts a nats-server with JetStream, a simulated cloud and three workers. Once every account is live, sends commands for a
minute or more while one worker after another is disturbed, and the server too. Then reads what arrived at the cloud (its
list of events) and what the callers were told (their requests are written here, in the protocol of NATS, and share no code
with `mysa`), and checks:

  - a connection of an account sends no command after the next owner of the account has connected;
  - every command gets one verdict, and a repeat gets the same one;
  - no command reaches the broker more than once, and the thermostat agrees with the verdict;
  - in the end every account has one owner again.

Prints how long accounts were without reports. Requires nats-server, and builds `mysa`.
"""

import argparse
import collections
import itertools
import json
import os
import pathlib
import queue
import random
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

WORKERS = ("a", "b", "c")
# Thermostats of the simulated home that have a heater of their own, by their place in it.
PLACES = 4
COMMANDS_PER_SECOND = 4
# Starts in a second of one worker. The user pool of the simulated cloud throttles above 25 sign-ins in a second.
START_RATE = "8"
# Time without a change among the workers after which accounts are spread evenly, in seconds.
SETTLE = 5
# Messages that ask for reports and change nothing.
REPORTS = (6, 7, 11)
# Longer than anything takes on a slow machine; it only ends a hang.
HANG = 1800


class Nats:
    """A client of NATS: subscriptions and requests, as its text protocol has them."""

    def __init__(self, port):
        self.port = port
        self.lock = threading.Lock()
        self.queues = {}
        self.subjects = {}
        self.numbers = itertools.count(1)
        self.connect()
        threading.Thread(target=self.run, daemon=True).start()

    def connect(self):
        opened = socket.create_connection(("127.0.0.1", self.port))
        self.file = opened.makefile("rb")
        self.file.readline()
        with self.lock:
            self.socket = opened
            opened.sendall(b'CONNECT {"verbose":false,"pedantic":false,"headers":true,"no_responders":true}\r\n')
            for number, subject in self.subjects.items():
                opened.sendall(f"SUB {subject} {number}\r\n".encode())

    def send(self, data):
        try:
            with self.lock:
                self.socket.sendall(data)
        except OSError:
            # The server is away. Callers repeat what has no answer.
            pass

    def subscribe(self, subject):
        number = str(next(self.numbers))
        self.queues[number] = queue.Queue()
        with self.lock:
            self.subjects[number] = subject
        self.send(f"SUB {subject} {number}\r\n".encode())
        return number, self.queues[number]

    def unsubscribe(self, number):
        with self.lock:
            del self.subjects[number]
        self.send(f"UNSUB {number}\r\n".encode())
        del self.queues[number]

    def publish(self, subject, reply, body):
        self.send(f"PUB {subject} {reply} {len(body)}\r\n".encode() + body + b"\r\n")

    def run(self):
        while True:
            try:
                self.read()
            except OSError:
                pass
            while True:
                time.sleep(0.2)
                try:
                    self.connect()
                    break
                except OSError:
                    pass

    def read(self):
        while line := self.file.readline():
            words = line.decode().split()
            if words[0] == "PING":
                self.send(b"PONG\r\n")
            elif words[0] in ("MSG", "HMSG"):
                length = int(words[-1])
                body = self.file.read(length + 2)[:length]
                header = b""
                if words[0] == "HMSG":
                    header, body = body[: int(words[-2])], body[int(words[-2]) :]
                if answers := self.queues.get(words[2]):
                    answers.put((words[1], header, body))


class Path:
    """The way of one worker to the server, which can be held up: nothing is lost, and all of it arrives late."""

    def __init__(self, port):
        self.port = port
        self.free = threading.Event()
        self.free.set()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = self.listener.getsockname()
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            worker, _ = self.listener.accept()
            try:
                server = socket.create_connection(("127.0.0.1", self.port))
            except OSError:
                worker.close()
                continue
            for ends in ((worker, server), (server, worker)):
                threading.Thread(target=self.copy, args=ends, daemon=True).start()

    def copy(self, source, target):
        try:
            while data := source.recv(65536):
                self.free.wait()
                target.sendall(data)
        except OSError:
            pass
        for end in (source, target):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


class Caller:
    """A program that sends one command and repeats it until it has a verdict."""

    def __init__(self, nats, number, account, device, setpoint):
        self.nats, self.id, self.account = nats, f"check-{number}", account
        self.device, self.setpoint = device, setpoint
        self.verdict = None
        self.seconds = None

    def run(self):
        begun = time.monotonic()
        self.verdict = self.ask()
        self.seconds = time.monotonic() - begun

    def ask(self):
        change = {"temp": self.setpoint}
        request = {"op": "set", "request": self.id, "account": self.account, "device": self.device, "change": change}
        body = json.dumps(request).encode()
        inbox = f"_INBOX.{self.id}.{random.getrandbits(64)}"
        number, answers = self.nats.subscribe(inbox)
        try:
            for _ in range(HANG // 4):
                self.nats.publish(f"mysa.fleet.set.{self.account}", inbox, body)
                try:
                    _, header, answer = answers.get(timeout=8)
                except queue.Empty:
                    continue
                if header.startswith(b"NATS/1.0 503") or "retry" in (answer := json.loads(answer)):
                    time.sleep(0.5)
                    continue
                return answer
        finally:
            self.nats.unsubscribe(number)
        return None


class Check:
    def __init__(self, options, folder):
        self.options, self.folder = options, folder
        self.random = random.Random(options.seed)
        self.children = []
        self.workers = {}
        self.events = []
        self.states = {}
        self.newest = {}
        target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", "target"))
        self.mysa = str((target / ("release" if options.release else "debug") / "mysa").resolve())
        self.env = dict(os.environ, HOME=str(folder), XDG_CONFIG_HOME=f"{folder}/config", XDG_STATE_HOME=f"{folder}/state")

    def start(self, *command, out, err):
        with open(self.folder / out, "ab") as stdout, open(self.folder / err, "ab") as stderr:
            child = subprocess.Popen(command, stdout=stdout, stderr=stderr, cwd=self.folder, env=self.env)
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
        arguments = ["--ca", "ca.pem", "--connect-to", self.cloud["address"], "fleet", "worker"]
        host, port = self.paths[name].address
        arguments += ["--nats", f"nats://{host}:{port}", "--worker", name, "--accounts", f"{name}.toml"]
        arguments += ["--control", f"{name}.sock", "--start-rate", START_RATE, "--settle", str(SETTLE)]
        arguments += ["--lease", str(self.options.lease)]
        # Its states are read from NATS.
        self.workers[name] = self.start(self.mysa, *arguments, out=os.devnull, err=f"{name}.log")

    def server(self):
        arguments = ["-js", "-sd", "js", "-a", "127.0.0.1", "-p", str(self.port)]
        self.nats_server = self.start("/usr/sbin/nats-server", *arguments, out="nats.log", err="nats.log")

    def prepare(self):
        self.port = free_port()
        self.paths = {name: Path(self.port) for name in WORKERS}
        self.server()
        accounts = ["--accounts", str(self.options.accounts)]
        self.start(self.mysa, "sim", "--listen", "127.0.0.1:0", "--ca", "ca.pem", "--json", *accounts, out="cloud", err="cloud.log")
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
        self.wait_for("NATS", lambda: "Server is ready" in (self.folder / "nats.log").read_text())
        self.nats = Nats(self.port)
        _, self.published = self.nats.subscribe("mysa.fleet.event.>")
        threading.Thread(target=self.follow, daemon=True).start()

    def follow(self):
        """Notes when each owner first showed a live state of its account."""
        while True:
            _, _, body = self.published.get()
            event = json.loads(body)
            if event.get("event") == "device" and event.get("link") == "live":
                account, owner = event["account"], event["owner"]
                self.states.setdefault((account, owner), time.time())
                self.newest[account] = max(owner, self.newest.get(account, 0))

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

    def commands(self, until):
        """Sends commands until an event is set, each to a thermostat of its own."""
        homes = list(self.accounts)
        targets = [(home, place) for home in homes for place in range(PLACES)]
        self.random.shuffle(targets)
        self.callers, threads = [], []
        for number, (home, place) in enumerate(targets):
            device = self.accounts[home]["devices"][place]
            caller = Caller(self.nats, number, home, device, self.random.choice([16.5, 21.5, 22.5, 23.5]))
            self.callers.append(caller)
            threads.append(threading.Thread(target=caller.run, daemon=True))
            threads[-1].start()
            if until.wait(1 / COMMANDS_PER_SECOND):
                break
        for thread in threads:
            thread.join(HANG)

    def disturb(self):
        self.disturbances = []
        victims = self.random.sample(WORKERS, len(WORKERS))
        for kind, name in zip(("kill", "drain", "stop", "cut off"), victims + victims[:1]):
            owned = self.owned_by(name)
            before = time.time()
            print(f"{kind} {name}, which owns {len(owned)} accounts", flush=True)
            self.disturbances.append((kind, name, before, owned))
            child, path = self.workers[name], self.paths[name]
            begin, end = {
                "kill": (child.kill, None),
                "drain": (child.terminate, None),
                "stop": (lambda: child.send_signal(signal.SIGSTOP), lambda: child.send_signal(signal.SIGCONT)),
                "cut off": (path.free.clear, path.free.set),
            }[kind]
            begin()
            # Another owner shows each account live, and only then the next worker is disturbed.
            self.wait_for(
                f"owners after {kind}",
                lambda: all(self.owner(account) > owner for account, owner in owned.items()),
            )
            if end:
                # It goes on after its lease for certain, with all that it had in hand.
                time.sleep(max(0, before + self.options.lease + 5 - time.time()))
                end()
            else:
                child.wait()
                self.worker(name)
        claims = self.settled()
        print("kill the server", flush=True)
        self.nats_server.kill()
        self.nats_server.wait()
        time.sleep(2)
        self.server()
        self.wait_for("the server", lambda: (self.folder / "nats.log").read_text().count("Server is ready") == 2)
        # Each worker renews its lease in this time, or has lost it.
        time.sleep(self.options.lease)
        moved = sum(claims[account] != revision for account, revision in self.claims().items())
        print(f"after a restart of the server, {moved} accounts have another owner")

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
        begun = time.monotonic()
        self.disturb()
        over.wait(max(0, 60 - (time.monotonic() - begun)))
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

    def judge(self, repeats, devices):
        wrong = []
        account_of, opened, closed, delivered = {}, collections.defaultdict(list), {}, collections.defaultdict(list)
        sent = collections.Counter()
        home = {device: name for name, known in self.accounts.items() for device in known["devices"]}
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
                sent[event["topic"].split("/")[3]] += 1
                if conn < newest:
                    wrong.append(f"{account}: connection {conn} wrote after connection {newest} was open: {line[:300]}")
        verdicts = collections.Counter()
        for caller, repeat in repeats:
            first = caller.verdict
            if first is None or repeat is None:
                wrong.append(f"{caller.id}: no verdict")
                continue
            verdicts[first["verdict"] + (" (owner lost)" if "owner lost" in first["message"] else "")] += 1
            if (first["verdict"], first.get("owner")) != (repeat["verdict"], repeat.get("owner")):
                wrong.append(f"{caller.id}: two verdicts: {first} {repeat}")
            if sent[caller.device] > 1:
                wrong.append(f"{caller.id}: sent {sent[caller.device]} times: {first}")
            holds = devices[caller.device]["setpoint_c"] == caller.setpoint
            if first["verdict"] == "confirmed" and not holds:
                wrong.append(f"{caller.id}: confirmed, and the thermostat holds another value: {first}")
            if first["verdict"] in ("refused", "expired") and (holds or sent[caller.device]):
                wrong.append(f"{caller.id}: {first['verdict']}, and it was sent: {first}")
        if not sent or not verdicts["confirmed"]:
            wrong.append("no command reached a thermostat")
        print(f"{len(repeats)} commands: " + ", ".join(f"{count} {name}" for name, count in sorted(verdicts.items())))
        print(f"time to the verdict: {spread([caller.seconds for caller in self.callers if caller.seconds])}")
        for kind, name, before, owned in self.disturbances:
            took, gaps = [], []
            for account, owner in owned.items():
                live = [at for (of, by), at in self.states.items() if of == account and by > owner and at > before]
                took.append(min(live) - before)
                after = [at for at, conn in opened[account] if at > before]
                reports = sorted(at for device in self.accounts[account]["devices"] for at in delivered[device])
                earlier = [at for at in reports if at <= (before if kind != "drain" else after[0])]
                later = [at for at in reports if after and at >= after[0]]
                if earlier and later:
                    gaps.append(later[0] - earlier[-1])
            print(f"{kind} {name}, {len(owned)} accounts: live with the next owner after {spread(took)}; without reports for {spread(gaps)}")
        for text in wrong[:20]:
            print(f"WRONG: {text}")
        print(f"{late} requests for reports after the next owner had connected")
        print(f"{len(wrong)} violations; {expected} events at the cloud, {len(account_of)} connections")
        return not wrong


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


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--accounts", type=int, default=30)
    parser.add_argument("--lease", type=int, default=10, help="seconds")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--release", action="store_true", help="build with --release")
    parser.add_argument("--keep", action="store_true", help="keep the folder with the logs")
    options = parser.parse_args()
    if not os.path.exists("/usr/sbin/nats-server"):
        sys.exit("workers.py: needs nats-server (apt-get install nats-server)")
    os.chdir(pathlib.Path(__file__).resolve().parent.parent.parent)
    profile = ["--release"] if options.release else []
    subprocess.run(["cargo", "build", "--quiet", "--locked", "-p", "mysa-cli", *profile], check=True)
    print(f"seed {options.seed}, lease {options.lease} s", flush=True)
    folder = pathlib.Path(tempfile.mkdtemp())
    check = Check(options, folder)
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
