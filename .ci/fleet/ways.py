"""Ways from workers to the servers of a check, which can be cut.

Every server listens on 127.0.0.1. A worker reaches it by an address of loopback that only this worker uses for it. In a network
namespace of its own, the kernel passes such an address on, and a way is cut by dropping every packet of it, in both directions:
neither end is told, TCP sends again, and what is left arrives once the way is whole. Without namespaces, a proxy holds the bytes
of a way back, and delivers all of them late.
"""

import ctypes
import json
import os
import pathlib
import socket
import subprocess
import threading

# From linux/sched.h.
CLONE_NEWUSER, CLONE_NEWNET = 0x1000_0000, 0x4000_0000
NATS, CLOUD = "NATS", "the cloud"
NETWORKS = {NATS: "127.0.1", CLOUD: "127.0.2"}
# Packets to an address of a way go to 127.0.0.1. They are dropped where they arrive, so that sending them succeeds.
RULES = """
table ip ways {
  set cut { type ipv4_addr; }
  counter lost { }
  chain forth {
    type nat hook output priority -100;
    ip daddr { 127.0.1.0/24, 127.0.2.0/24 } dnat to 127.0.0.1
  }
  chain loss {
    type filter hook input priority 0;
    ct original ip daddr @cut counter name lost drop
  }
}
"""


class Unavailable(Exception):
    """There can be no network namespace here."""


class Namespace:
    """A network namespace, which this process enters with everything that it starts from now on."""

    def __init__(self, workers):
        self.numbers = {worker: number for number, worker in enumerate(workers, 1)}
        user, group = os.geteuid(), os.getegid()
        libc = ctypes.CDLL(None, use_errno=True)
        # Whoever is not root may have a namespace of users, in which it is.
        if libc.unshare(CLONE_NEWNET) != 0:
            if libc.unshare(CLONE_NEWNET | CLONE_NEWUSER) != 0:
                raise Unavailable(os.strerror(ctypes.get_errno()))
            pathlib.Path("/proc/self/setgroups").write_text("deny")
            pathlib.Path("/proc/self/uid_map").write_text(f"0 {user} 1")
            pathlib.Path("/proc/self/gid_map").write_text(f"0 {group} 1")
        run("ip", "link", "set", "lo", "up")
        run("nft", "-f", "-", text=RULES)

    def address(self, worker, side, port):
        """Address at which a worker reaches a port of 127.0.0.1."""
        return f"{self.host(worker, side)}:{port}"

    def host(self, worker, side):
        return f"{NETWORKS[side]}.{self.numbers[worker]}"

    def cut(self, worker, side):
        run("nft", "add", "element", "ip", "ways", "cut", f"{{ {self.host(worker, side)} }}")

    def heal(self, worker, side):
        run("nft", "delete", "element", "ip", "ways", "cut", f"{{ {self.host(worker, side)} }}")

    def lost(self):
        """Packets that were lost so far."""
        counters = json.loads(run("nft", "-j", "list", "counter", "ip", "ways", "lost"))
        return next(item["counter"]["packets"] for item in counters["nftables"] if "counter" in item)


class Proxies:
    """A proxy for each worker and port."""

    def __init__(self):
        self.proxies = {}

    def address(self, worker, side, port):
        if (worker, side, port) not in self.proxies:
            self.proxies[worker, side, port] = Proxy(port)
        return "{}:{}".format(*self.proxies[worker, side, port].address)

    def cut(self, worker, side):
        for key, proxy in self.proxies.items():
            if key[:2] == (worker, side):
                proxy.free.clear()

    def heal(self, worker, side):
        for key, proxy in self.proxies.items():
            if key[:2] == (worker, side):
                proxy.free.set()


class Proxy:
    """A way to one port, which can be held up."""

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


def run(program, *arguments, text=None):
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    try:
        done = subprocess.run([program, *arguments], input=text, capture_output=True, text=True, env=dict(os.environ, PATH=path))
    except FileNotFoundError:
        raise Unavailable(f"no program {program}") from None
    if done.returncode != 0:
        raise Unavailable(f"{program}: {done.stderr.strip()}")
    return done.stdout
