"""mysa-client as a contestant of the benchmark `product`, which starts it: see benches/benches/product/main.rs.

Reads a line of settings, then orders, on standard input, and reports on standard output, like the other contestants.
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
import json
import os
import socket
import sys
import tempfile
import threading
import time

settings = json.loads(sys.stdin.readline())
with tempfile.NamedTemporaryFile("w", suffix=".pem", delete=False) as authority:
    authority.write(settings["authority"])
os.environ["SSL_CERT_FILE"] = os.environ["AWS_CA_BUNDLE"] = authority.name

import aiohttp  # noqa: E402
from mysa_client.cloud import MysaAuth, MysaClient  # noqa: E402
from mysa_client.mqtt import MysaMqttClient  # noqa: E402

AGENT = "okhttp/4.11.0"
LIVE_REPORT_S = 150
HOST, PORT = settings["address"].rsplit(":", 1)
real_getaddrinfo = socket.getaddrinfo


def getaddrinfo(host, port, *args, **kwargs):
    """Leads the names of the cloud to the simulator."""
    if isinstance(host, str) and host.endswith(("mysa.cloud", "amazonaws.com")):
        host, port = HOST, int(PORT)
    return real_getaddrinfo(host, port, *args, **kwargs)


socket.getaddrinfo = getaddrinfo


def say(*words):
    print(*words, flush=True)


class Account:
    waiting = len(settings["accounts"])

    def __init__(self, http, account):
        self.auth = MysaAuth(http, account["refresh_token"], user_agent=AGENT)
        self.rest = MysaClient(http, self.auth, user_agent=AGENT)
        self.devices = account["devices"]
        self.setpoints = {}
        self.mqtt = None

    async def run(self):
        records = await self.rest.get_devices()
        await self.rest.get_legacy_states(records)
        models = {device: record.model for device, record in records.items()}
        self.mqtt = MysaMqttClient(self.auth.async_get_id_token, models, connect_timeout=300)
        await self.mqtt.connect()
        Account.waiting -= 1
        if not Account.waiting:
            say("live", time.monotonic_ns())
        live = asyncio.create_task(self.ask_for_live_reports())
        async for message in self.mqtt.events():
            setpoint = None
            if message.telemetry is not None:
                setpoint = message.telemetry.setpoint
            elif message.state is not None:
                setpoint = message.state.setpoint
            elif message.payload and message.payload.get("MsgType") == 1:
                setpoint = message.payload.get("Next")
            if setpoint is not None and self.setpoints.get(message.device_id) != setpoint:
                self.setpoints[message.device_id] = setpoint
                say("event", time.monotonic_ns(), message.device_id, round(setpoint * 100))
        live.cancel()
        say("failed the events ended")

    async def ask_for_live_reports(self):
        while True:
            for device in self.devices:
                await self.mqtt.request_live_status(device)
            await asyncio.sleep(LIVE_REPORT_S)

    async def set(self, device, hundredths):
        given = time.monotonic_ns()
        result = await self.mqtt.set_setpoint(device, hundredths / 100)
        if result.device_confirmed:
            say("ack", time.monotonic_ns() - given)
        else:
            say("failed", result)


def read_orders(loop, orders):
    for line in sys.stdin:
        loop.call_soon_threadsafe(orders.put_nowait, line.split())
    os.unlink(authority.name)
    os._exit(0)


async def main():
    # Every connection of mysa-client occupies a thread of the default executor, which has six on a machine with two processors:
    # further connections wait for one, and time out.
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(2 * len(settings["accounts"]) + 8))
    orders = asyncio.Queue()
    threading.Thread(target=read_orders, args=(asyncio.get_running_loop(), orders), daemon=True).start()
    tasks = set()

    def begin(work):
        task = asyncio.create_task(work)
        tasks.add(task)
        task.add_done_callback(ended)

    def ended(task):
        tasks.discard(task)
        with suppress(asyncio.CancelledError):
            if task.exception():
                say("failed", repr(task.exception()))

    async with aiohttp.ClientSession() as http:
        accounts = [Account(http, account) for account in settings["accounts"]]
        say("ready")
        while True:
            match await orders.get():
                case ["start"]:
                    for account in accounts:
                        begin(account.run())
                case ["set", number, device, hundredths]:
                    begin(accounts[int(number)].set(device, int(hundredths)))
                case ["cpu"]:
                    say("cpu", time.process_time_ns())


asyncio.run(main())
