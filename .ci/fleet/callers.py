"""Callers of a fleet on NATS: requests in the protocol of NATS, which share no code with `mysa`."""

import itertools
import json
import queue
import random
import socket
import threading
import time


class Nats:
    """A client of NATS: subscriptions and requests, as its text protocol has them. It uses any server of a cluster."""

    def __init__(self, ports):
        self.ports = itertools.cycle(ports)
        self.lock = threading.Lock()
        self.queues = {}
        self.subjects = {}
        self.numbers = itertools.count(1)
        self.connect()
        threading.Thread(target=self.run, daemon=True).start()

    def connect(self):
        opened = socket.create_connection(("127.0.0.1", next(self.ports)))
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

    def ask(self, subject, body=b"", wait=8):
        """The answer to a request: its header and body. `None` without one."""
        inbox = f"_INBOX.check.{random.getrandbits(64)}"
        number, answers = self.subscribe(inbox)
        try:
            self.publish(subject, inbox, body)
            _, header, answer = answers.get(timeout=wait)
            return header, answer
        except queue.Empty:
            return None
        finally:
            self.unsubscribe(number)

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


class Caller:
    """A program that sends one command and repeats it until it has a verdict."""

    def __init__(self, nats, number, account, device, setpoint):
        self.nats, self.id, self.account = nats, f"check-{number}", account
        self.device, self.setpoint = device, setpoint
        self.verdict = None
        self.begun = self.decided = None

    @property
    def seconds(self):
        return self.decided - self.begun

    def run(self):
        self.begun = time.time()
        self.verdict = self.ask()
        self.decided = time.time()

    def ask(self, attempts=450):
        change = {"temp": self.setpoint}
        request = {"op": "set", "request": self.id, "account": self.account, "device": self.device, "change": change}
        for _ in range(attempts):
            answer = self.nats.ask(f"mysa.fleet.set.{self.account}", json.dumps(request).encode())
            if answer is None:
                continue
            header, body = answer
            if header.startswith(b"NATS/1.0 503") or "retry" in (verdict := json.loads(body)):
                time.sleep(0.5)
                continue
            return verdict
        return None
