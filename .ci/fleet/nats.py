#!/usr/bin/env python3
"""Starts a NATS server with packaging/fleet/nats-server.conf, and checks what each of its users may do and may not: nats.py MYSA

Speaks the protocol of NATS itself, because a client library would hide what the server refuses. Then runs a worker, an
administrator, a caller and a reader with the `mysa` command, which the server must refuse nothing. Requires nats-server and
openssl. The server listens on loopback, on a port that it chooses.
"""

import base64
import contextlib
import json
import os
import pathlib
import re
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import time

CONF = pathlib.Path("packaging/fleet/nats-server.conf")
LIMIT = 120  # seconds, only to end a hang
PASSWORDS = {user: f"{user}-password" for user in ["worker", "administrator", "caller", "reader", "operator"]}
# `worker-password`, as `nats server passwd` prints it: a hash begins with $, which also begins a variable.
BCRYPT = "$2a$04$EYTTXYQwnsSjHhYPV4N08umNkIATRvEhB2N4hWEXwFuCmwux/QZjC"


class Client:
    """Connection of one user."""

    def __init__(self, address, authority, user, password=None):
        raw = socket.create_connection(address, timeout=LIMIT)
        # The server speaks first, in the clear, and then TLS.
        info = b""
        while not info.endswith(b"\r\n"):
            info += raw.recv(1)
        assert json.loads(info.split(b" ", 1)[1])["tls_required"], "the server permits connections without TLS"
        self.socket = ssl.create_default_context(cafile=authority).wrap_socket(raw, server_hostname="localhost")
        self.buffer = b""
        self.messages, self.errors = [], []
        self.sid = 0
        self.inbox = f"_INBOX.{user}.api"
        options = {"verbose": False, "pedantic": False, "user": user, "pass": password or PASSWORDS[user], "headers": True, "no_responders": True,
                   "lang": "python", "version": "0", "protocol": 1}
        self.send(f"CONNECT {json.dumps(options)}\r\n".encode())
        self.flush()

    def send(self, data):
        self.socket.sendall(data)

    def flush(self):
        """Waits until the server has handled all before, and has reported its errors."""
        self.send(b"PING\r\n")
        while self.read() != "PONG":
            pass

    def read(self):
        """Reads one line, and the message that follows it."""
        while b"\r\n" not in self.buffer:
            part = self.socket.recv(65_536)
            if not part:
                raise ConnectionError(f"closed by the server: {self.errors}")
            self.buffer += part
        line, self.buffer = self.buffer.split(b"\r\n", 1)
        words = line.decode().split(" ")
        if words[0] in ("MSG", "HMSG"):
            size = int(words[-1])
            while len(self.buffer) < size + 2:
                self.buffer += self.socket.recv(65_536)
            body, self.buffer = self.buffer[:size], self.buffer[size + 2:]
            at = 5 if words[0] == "HMSG" else 4
            reply = words[3] if len(words) > at else None
            headers = b""
            if words[0] == "HMSG":
                headers, body = body[:int(words[-2])], body[int(words[-2]):]
            self.messages.append((words[1], reply, headers, body))
        elif words[0] == "-ERR":
            self.errors.append(line.decode())
        elif words[0] == "PING":
            self.send(b"PONG\r\n")
        return words[0]

    def take_errors(self):
        errors, self.errors = self.errors, []
        return errors

    def subscribe(self, subject):
        self.sid += 1
        self.send(f"SUB {subject} {self.sid}\r\n".encode())
        self.flush()
        return not self.take_errors()

    def publish(self, subject, body=b"", reply="", headers=None):
        if headers is None:
            self.send(f"PUB {subject} {reply} {len(body)}\r\n".encode() + body + b"\r\n")
        else:
            head = b"NATS/1.0\r\n" + b"".join(f"{name}: {value}\r\n".encode() for name, value in headers.items()) + b"\r\n"
            self.send(f"HPUB {subject} {reply} {len(head)} {len(head) + len(body)}\r\n".encode() + head + body + b"\r\n")
        self.flush()
        return not self.take_errors()

    def message(self, subject=None):
        """The next message, or the next one of a subject: subject, reply, headers, body."""
        until = time.monotonic() + LIMIT
        while True:
            for at, message in enumerate(self.messages):
                if subject in (None, message[0]):
                    return self.messages.pop(at)
            assert time.monotonic() < until, f"no message for {subject}: {self.messages}"
            self.read()

    def ask(self, subject, body=b"", headers=None):
        """A request and its answer; None if it is not permitted."""
        if self.sid == 0:
            assert self.subscribe(f"{self.inbox}.>")
        inbox = f"{self.inbox}.answer"
        return self.message(inbox)[3] if self.publish(subject, body, inbox, headers) else None

    def api(self, subject, body=None):
        """A request to JetStream; None if it is not permitted."""
        answer = self.ask(f"$JS.API.{subject}", json.dumps(body).encode() if body is not None else b"")
        return None if answer is None else json.loads(answer)


def bucket(name):
    """Configuration of a bucket."""
    return {"name": f"KV_mysa-fleet-{name}", "subjects": [f"$KV.mysa-fleet-{name}.>"], "max_msgs_per_subject": 1,
            "storage": "file", "allow_rollup_hdrs": True, "deny_delete": True, "discard": "new", "max_bytes": -1,
            "max_msgs": -1, "max_consumers": -1, "max_msg_size": 16_384, "num_replicas": 1, "retention": "limits"}


def may(what, permitted):
    assert permitted, f"refused, but must be permitted: {what}"


def may_not(what, permitted):
    assert not permitted, f"permitted, but must be refused: {what}"


def check(connect):
    worker, administrator = connect("worker"), connect("administrator")
    caller, reader = connect("caller"), connect("reader")
    buckets = ["workers", "claims", "verdicts", "accounts"]

    # A worker makes the buckets, and writes to them by compare-and-swap.
    for name in buckets:
        answer = worker.api(f"STREAM.CREATE.KV_mysa-fleet-{name}", bucket(name))
        may(f"worker: make {name}", answer and not answer.get("error"))
        may(f"worker: open {name}", worker.api(f"STREAM.INFO.KV_mysa-fleet-{name}"))
    expected = "Nats-Expected-Last-Subject-Sequence"
    for name in buckets:
        first = json.loads(worker.ask(f"$KV.mysa-fleet-{name}.a", b"1", {expected: 0}))
        may(f"worker: write to {name}", first.get("seq") == 1)
        second = json.loads(worker.ask(f"$KV.mysa-fleet-{name}.a", b"2", {expected: 0}))
        assert second["error"]["err_code"] == 10071, "a write at an old revision must fail"
        read = worker.api(f"STREAM.MSG.GET.KV_mysa-fleet-{name}", {"last_by_subj": f"$KV.mysa-fleet-{name}.a"})
        may(f"worker: read from {name}", base64.b64decode(read["message"]["data"]) == b"1")
        watch = {"stream_name": f"KV_mysa-fleet-{name}", "config": {"deliver_subject": f"_INBOX.worker.watch.{name}",
                 "deliver_policy": "last_per_subject", "ack_policy": "none", "name": f"w{name}",
                 "filter_subject": f"$KV.mysa-fleet-{name}.>"}}
        subject = f"CONSUMER.CREATE.KV_mysa-fleet-{name}.w{name}.$KV.mysa-fleet-{name}.>"
        worker.subscribe(f"_INBOX.worker.watch.{name}")
        answer = worker.api(subject, watch)
        may(f"worker: watch {name}: {answer}", answer and not answer.get("error"))
        assert worker.message(f"$KV.mysa-fleet-{name}.a")[3] == b"1"
        may(f"worker: end the watch of {name}", worker.api(f"CONSUMER.DELETE.KV_mysa-fleet-{name}.w{name}"))
        for what in ["UPDATE", "DELETE", "MSG.DELETE"] + ["PURGE"] * (name != "workers"):
            may_not(f"worker: {what} {name}", worker.api(f"STREAM.{what}.KV_mysa-fleet-{name}", bucket(name)))
    # Sessions that ended are removed.
    purged = worker.api("STREAM.PURGE.KV_mysa-fleet-workers", {"filter": "$KV.mysa-fleet-workers.a", "seq": 2})
    may(f"worker: remove a session: {purged}", purged.get("purged") == 1)
    may_not("worker: another stream", worker.api("STREAM.CREATE.other", {"name": "other", "subjects": ["x"]}))
    may_not("worker: streams of all", worker.api("STREAM.NAMES"))
    may_not("worker: all subjects", worker.subscribe(">"))
    may_not("worker: another fleet", worker.publish("mysa.other.event.a") or worker.publish("$KV.mysa-other-claims.a"))

    # The stream of events: made by a worker, read by a reader.
    events = {"name": "mysa-fleet-events", "subjects": ["mysa.fleet.event.>"], "max_msgs_per_subject": 1, "storage": "file"}
    answer = worker.api("STREAM.CREATE.mysa-fleet-events", events)
    may("worker: make the events", answer and not answer.get("error"))
    event = "mysa.fleet.event.home-1.a0b1c2d3e4f5"
    may("worker: event", json.loads(worker.ask(event, b"event")).get("stream") == "mysa-fleet-events")
    for what in ["UPDATE", "DELETE", "PURGE"]:
        may_not(f"worker: {what} the events", worker.api(f"STREAM.{what}.mysa-fleet-events", events))
    may("reader: open the events", reader.api("STREAM.INFO.mysa-fleet-events"))
    may("reader: inbox", reader.subscribe("_INBOX.reader.watch"))
    watch = {"stream_name": "mysa-fleet-events", "config": {"deliver_subject": "_INBOX.reader.watch", "name": "r",
             "deliver_policy": "last_per_subject", "ack_policy": "none", "filter_subject": "mysa.fleet.event.>"}}
    answer = reader.api("CONSUMER.CREATE.mysa-fleet-events.r.mysa.fleet.event.>", watch)
    may(f"reader: watch the events: {answer}", answer and not answer.get("error"))
    assert reader.message(event)[3] == b"event"
    may("reader: subscribe to the events", reader.subscribe("mysa.fleet.event.>"))
    worker.ask(event, b"event 2")
    # By the watch and by the subscription.
    assert [reader.message(event)[3] for _ in range(2)] == [b"event 2"] * 2
    for subject in [">", "mysa.fleet.set.>", "$KV.>"]:
        may_not(f"reader: {subject}", reader.subscribe(subject))
    for subject in ["mysa.fleet.set.home-1", event, "x"]:
        may_not(f"reader: send to {subject}", reader.publish(subject, b"x"))
    for what in ["CREATE", "UPDATE", "DELETE", "PURGE"]:
        may_not(f"reader: {what} the events", reader.api(f"STREAM.{what}.mysa-fleet-events", events))

    # A caller sends a command and gets the answer of the worker.
    may("worker: take commands", worker.subscribe("mysa.fleet.set.home-1"))
    may("caller: inbox", caller.subscribe("_INBOX.caller.>"))
    may("caller: command", caller.publish("mysa.fleet.set.home-1", b"command", "_INBOX.caller.b"))
    subject, reply, _, body = worker.message("mysa.fleet.set.home-1")
    assert body == b"command" and reply
    may("worker: answer", worker.publish(reply, b"verdict"))
    assert caller.message()[3] == b"verdict"
    may_not("worker: a second answer", worker.publish(reply, b"verdict"))
    may_not("caller: take commands", caller.subscribe("mysa.fleet.set.home-1"))
    may_not("caller: events", caller.subscribe("mysa.fleet.event.>"))
    may_not("caller: send an event", caller.publish(event))

    # An administrator writes the accounts alone.
    may("administrator: write an account", json.loads(administrator.ask("$KV.mysa-fleet-accounts.b", b"sealed"))["seq"])
    may("administrator: open the accounts", administrator.api("STREAM.INFO.KV_mysa-fleet-accounts"))
    for name in ["workers", "claims", "verdicts"]:
        may_not(f"administrator: write to {name}", administrator.publish(f"$KV.mysa-fleet-{name}.a", b"x"))
        get = f"STREAM.MSG.GET.KV_mysa-fleet-{name}"
        may_not(f"administrator: read {name}", administrator.api(get, {"last_by_subj": f"$KV.mysa-fleet-{name}.a"}))
    for what in ["UPDATE", "DELETE", "PURGE"]:
        may_not(f"administrator: {what}", administrator.api(f"STREAM.{what}.KV_mysa-fleet-accounts", bucket("accounts")))
    may_not("administrator: commands", administrator.publish("mysa.fleet.set.home-1"))
    may_not("administrator: events", administrator.subscribe("mysa.fleet.event.>"))

    # What is only for workers and administrators.
    for name, client in [("caller", caller), ("reader", reader)]:
        for subject in ["$KV.mysa-fleet-accounts.a", "$KV.mysa-fleet-claims.a"]:
            may_not(f"{name}: write to {subject}", client.publish(subject, b"x"))
            may_not(f"{name}: watch {subject}", client.subscribe(subject))
        for subject in ["$JS.API.INFO", "$JS.API.STREAM.MSG.GET.KV_mysa-fleet-accounts"]:
            may_not(f"{name}: {subject}", client.publish(subject, b"{}"))
    for name, client in [("caller", caller), ("reader", reader), ("administrator", administrator), ("worker", worker)]:
        may_not(f"{name}: all subjects", client.subscribe(">"))
    # Nobody sees the answers to another one, which have entries of the buckets.
    for name, client in [("caller", caller), ("reader", reader), ("administrator", administrator), ("worker", worker)]:
        others = [f"_INBOX.{other}.>" for other in PASSWORDS if other != name]
        for subject in [*others, "_INBOX.>", "_INBOX.*.api.answer", "_INBOX.*.*", "*.>", "_R_.>"]:
            may_not(f"{name}: answers at {subject}", client.subscribe(subject))
        may(f"{name}: its own answers", client.subscribe(f"_INBOX.{name}.>"))
    for client in [caller, reader, administrator]:
        client.messages.clear()
    may("worker: an answer", worker.ask("$KV.mysa-fleet-accounts.a", b"2"))
    for name, client in [("caller", caller), ("reader", reader), ("administrator", administrator)]:
        client.flush()
        may_not(f"{name}: what a worker is answered", client.messages)

    operator = connect("operator")
    may("operator: statistics", b'"connections"' in operator.ask("$SYS.REQ.SERVER.PING.VARZ"))
    operator.subscribe("mysa.fleet.event.>")
    operator.subscribe("$KV.>")
    worker.ask(event, b"event 3")
    worker.ask("$KV.mysa-fleet-accounts.a", b"3")
    assert reader.message(event)[3] == b"event 3"
    operator.flush()
    may_not("operator: messages of the fleet", operator.messages)

    # The limits of the account.
    answer = administrator.api("INFO")
    limits = answer["limits"]
    assert limits["max_storage"] == 8 << 30, limits
    assert limits["max_streams"] == 8, limits
    for user in PASSWORDS:
        try:
            connect(user, "wrong")
        except (ConnectionError, ssl.SSLError):
            continue
        raise AssertionError(f"{user} is let in with a wrong password")


def commands(mysa, url, work):
    """Runs each part of a fleet as the user for it."""
    environment = {**os.environ, "HOME": str(work), "XDG_CONFIG_HOME": str(work / "config"), "XDG_STATE_HOME": str(work / "state"),
                   "MYSA_NATS": url.replace("127.0.0.1", "localhost"), "MYSA_NATS_CA": "authority.crt", "MYSA_FLEET_KEYS": "keys"}
    started = []

    def start(name, *arguments, **more):
        with open(work / f"{name}.out", "w") as out, open(work / f"{name}.err", "w") as err:
            started.append(subprocess.Popen([mysa, *arguments], cwd=work, env={**environment, **more}, stdout=out, stderr=err))
        return work / f"{name}.out"

    def run(user, *arguments):
        return subprocess.run([mysa, *arguments], cwd=work, env={**environment, **as_user(user)}, capture_output=True, text=True, timeout=LIMIT)

    def as_user(user):
        (work / user).write_text(PASSWORDS[user])
        (work / user).chmod(0o600)
        return {"MYSA_NATS_USER": user, "MYSA_NATS_PASSWORD_FILE": user}

    def until(what, condition):
        end = time.monotonic() + LIMIT
        while not (found := condition()):
            assert time.monotonic() < end, f"{what}: {[(log.name, log.read_text()[-600:]) for log in work.glob('*.err')]}"
            time.sleep(0.2)
        return found

    try:
        out = start("sim", "sim", "--listen", "127.0.0.1:0", "--ca", "ca.pem", "--json")
        cloud = json.loads(until("a cloud", out.read_text))
        account = cloud["accounts"][0]
        (work / "password").write_text(account["password"])
        (work / "password").chmod(0o600)
        environment |= {"MYSA_CA": "ca.pem", "MYSA_CONNECT_TO": cloud["address"]}
        run("administrator", "fleet", "key", "new").check_returncode()
        start("worker", "fleet", "worker", "--control", "w.sock", "--worker", "w", **as_user("worker"))
        add = ["fleet", "accounts", "add", account["email"], "--name", "home", "--password-file", "password"]
        # The worker may make the same bucket in this moment.
        until("an account", lambda: run("administrator", *add).returncode == 0)
        until("a command", lambda: run("caller", "fleet", "set", f"home/{account['devices'][0]}", "--temp", "21.5").returncode == 0)
        listed = run("administrator", "fleet", "accounts", "list")
        may(f"administrator: list: {listed}", account["email"] in listed.stdout)
        seen = run("reader", "fleet", "watch", "--count", "1")
        may(f"reader: watch: {seen}", '"account":"home"' in seen.stdout)
    finally:
        for child in started[::-1]:
            child.terminate()
            child.wait(LIMIT)


def main():
    mysa = str(pathlib.Path(sys.argv[1]).resolve())
    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder)
        quiet = {"check": True, "capture_output": True}
        key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout"]
        subprocess.run(["openssl", "req", "-x509", *key, work / "authority.key", "-days", "2", "-subj", "/CN=authority",
                        "-out", work / "authority.crt"], **quiet)
        subprocess.run(["openssl", "req", *key, work / "tls.key", "-subj", "/CN=localhost", "-out", work / "tls.csr"], **quiet)
        (work / "names").write_text("subjectAltName=DNS:localhost\n")
        subprocess.run(["openssl", "x509", "-req", "-in", work / "tls.csr", "-CA", work / "authority.crt", "-CAkey",
                        work / "authority.key", "-CAcreateserial", "-days", "2", "-extfile", work / "names", "-out", work / "tls.crt"], **quiet)
        text = CONF.read_text()
        for old, new in [("/etc/nats/tls", folder), ("/data/jetstream", f"{folder}/jetstream"),
                         ("0.0.0.0:4222", "127.0.0.1:-1"), ("127.0.0.1:8222", "127.0.0.1:-1")]:
            assert old in text, f"{CONF} does not have {old}"
            text = text.replace(old, new)
        (work / "nats-server.conf").write_text(text)
        environment = {**os.environ, **{f"MYSA_NATS_{user.upper()}": word for user, word in PASSWORDS.items()}}
        environment["MYSA_NATS_WORKER"] = BCRYPT
        named = set(re.findall(r"\$(MYSA_NATS_\w+)", text))
        assert named == {name for name in environment if name in named}, f"variables without a user here: {named}"
        command = ["nats-server", "-c", work / "nats-server.conf"]
        tested = subprocess.run([*command, "-t"], env=environment, capture_output=True, text=True)
        assert tested.returncode == 0, tested.stderr
        with serving(work, command, environment) as url:
            address = ("127.0.0.1", int(url.rsplit(":", 1)[1]))
            check(lambda user, password=None: Client(address, work / "authority.crt", user, password))
        # The buckets of the check are not those of a worker.
        shutil.rmtree(work / "jetstream")
        with serving(work, command, environment) as url:
            commands(mysa, url, work)
            refused = [line for line in (work / "log").read_text().splitlines() if "Violation" in line]
            may_not("what the parts of a fleet do: " + "\n".join(refused), refused)
    print(f"{CONF}: valid, and each user may do its part and no more")


@contextlib.contextmanager
def serving(work, command, environment):
    """Runs the server, and gives its URL."""
    with open(work / "log", "w") as log:
        server = subprocess.Popen([*command, "--ports_file_dir", work], env=environment, stderr=log)
    try:
        ports = work / f"nats-server_{server.pid}.ports"
        until = time.monotonic() + LIMIT
        while not ports.exists() or not ports.read_text().strip():
            assert server.poll() is None and time.monotonic() < until, (work / "log").read_text()
            time.sleep(0.05)
        yield json.loads(ports.read_text())["nats"][0]
    except BaseException:
        print((work / "log").read_text()[-3_000:], file=sys.stderr)
        raise
    finally:
        server.terminate()
        server.wait(LIMIT)


main()
