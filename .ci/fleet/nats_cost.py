#!/usr/bin/env python3
"""Measures what the entries of a bucket cost a NATS server: nats_cost.py ENTRIES BYTES. Requires nats-server.

ENTRIES keys are written with the condition that the workers use, and then watched once with and once without their values.
"""

import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import time

entries, size = int(sys.argv[1]), int(sys.argv[2])
STREAM = "KV_mysa-fleet-claims"
KEYS = "$KV.mysa-fleet-claims"
HEAD = b"NATS/1.0\r\nNats-Expected-Last-Subject-Sequence: 0\r\n\r\n"


def main():
    with tempfile.TemporaryDirectory() as folder:
        with open(f"{folder}/log", "w") as log:
            server = subprocess.Popen(["nats-server", "-js", "-sd", folder, "-a", "127.0.0.1", "-p", "-1",
                                       "--ports_file_dir", folder], stderr=log)
        try:
            measure(server.pid, pathlib.Path(folder) / f"nats-server_{server.pid}.ports")
        finally:
            server.terminate()
            server.wait()


def measure(pid, ports):
    while not ports.exists() or not ports.read_text().strip():
        time.sleep(0.05)
    port = int(json.loads(ports.read_text())["nats"][0].rsplit(":", 1)[1])
    connection = socket.create_connection(("127.0.0.1", port), timeout=60)
    lines = connection.makefile("rb")
    lines.readline()
    connection.sendall(b'CONNECT {"verbose":false,"pedantic":false,"headers":true}\r\nSUB _INBOX.api 1\r\n')

    def memory():
        fields = dict(line.split(":", 1) for line in open(f"/proc/{pid}/status"))
        return int(fields["VmRSS"].split()[0]) * 1_024

    def processor():
        fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def message():
        """Number of the subscription, and the bytes of a message and its line."""
        while True:
            line = lines.readline()
            words = line.split()
            if words and words[0] in (b"MSG", b"HMSG"):
                body = lines.read(int(words[-1]) + 2)
                return int(words[2]), len(line) + len(body), body
            if words and words[0] == b"PING":
                connection.sendall(b"PONG\r\n")

    def ask(subject, request):
        body = json.dumps(request).encode()
        connection.sendall(f"PUB $JS.API.{subject} _INBOX.api {len(body)}\r\n".encode() + body + b"\r\n")

    def answer():
        answer = json.loads(message()[2])
        assert "error" not in answer, answer
        return answer

    ask(f"STREAM.CREATE.{STREAM}", {"name": STREAM, "subjects": [f"{KEYS}.>"], "max_msgs_per_subject": 1,
                                    "storage": "file", "discard": "new", "num_replicas": 1})
    answer()
    memory_before, processor_before = memory(), processor()
    value = b"x" * size
    for first in range(0, entries, 1_000):
        batch = range(first, min(first + 1_000, entries))
        connection.sendall(b"".join(f"HPUB {KEYS}.home-{key:08} {len(HEAD)} {len(HEAD) + size}\r\n".encode()
                                    + HEAD + value + b"\r\n" for key in batch))
    while True:
        ask(f"STREAM.INFO.{STREAM}", {})
        state = answer()["state"]
        if state["messages"] == entries:
            break
        time.sleep(0.2)
    print(f"on disk: {state['bytes'] / entries:.0f} bytes an entry")
    print(f"in memory: {(memory() - memory_before) / entries:.0f} bytes an entry")
    print(f"a write: {(processor() - processor_before) / entries * 1e6:.1f} us of processor")
    for sid, headers_only in [(2, False), (3, True)]:
        processor_before = processor()
        connection.sendall(f"SUB _INBOX.watch.{sid} {sid}\r\n".encode())
        ask(f"CONSUMER.CREATE.{STREAM}", {"stream_name": STREAM, "config": {
            "deliver_subject": f"_INBOX.watch.{sid}", "deliver_policy": "last_per_subject", "ack_policy": "none",
            "filter_subject": f"{KEYS}.>", "headers_only": headers_only}})
        seen = total = 0
        while seen < entries:
            subscription, length, _ = message()
            if subscription == sid:
                seen, total = seen + 1, total + length
        what = "without values" if headers_only else "with values"
        used = (processor() - processor_before) / entries * 1e6
        print(f"a watch {what}: {total / entries:.0f} bytes an entry, {used:.1f} us of processor")


main()
