"""Watches the home of a simulated cloud with one client for some seconds, and prints what that takes: see benches/watch."""

import asyncio
import os
import resource
import sys

EMAIL, PASSWORD = "user@example.com", "Correct-Horse-1"
# Signing in and loading libraries is not part of watching.
WARM_UP_S = 15


def memory() -> int:
    """Return the resident memory in KiB."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS:"))


def cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def measure(name: str, seconds: float, what: str, number) -> None:
    """Print a row of a table. ``number`` returns how many of ``what`` the program has read since the start."""
    await asyncio.sleep(WARM_UP_S)
    before, seen = cpu(), number()
    await asyncio.sleep(seconds)
    used, rss, threads = cpu() - before, memory(), len(os.listdir("/proc/self/task"))
    print(
        f"| {name} | {number() - seen} {what} in {seconds:.0f} s | {used / seconds * 3600:.1f} s | {rss / 1024:.1f} MiB "
        f"| {(rss - START) / 1024:.1f} MiB | {threads} |"
    )


async def mysa(seconds: float) -> None:
    import mysa

    count = 0

    async def watch(client: mysa.Client) -> None:
        nonlocal count
        async for event in client.events():
            count += isinstance(event, mysa.events.DeviceEvent)

    async with mysa.connect(EMAIL, password=PASSWORD, ca=os.environ["SSL_CERT_FILE"]) as client:
        task = asyncio.create_task(watch(client))
        await measure(f"mysa {mysa.__version__}", seconds, "changes", lambda: count)
        task.cancel()


async def mysa_client(seconds: float) -> None:
    import aiohttp
    import importlib.metadata

    from mysa_client.cloud import MysaAuth, MysaClient
    from mysa_client.mqtt import MysaMqttClient

    count = 0

    async def watch(client: MysaMqttClient) -> None:
        nonlocal count
        async for message in client.events():
            count += message.telemetry is not None

    async with aiohttp.ClientSession() as session:
        auth = MysaAuth(session, user_agent="okhttp/4.11.0")
        await auth.sign_in(EMAIL, PASSWORD)
        records = await MysaClient(session, auth, user_agent="okhttp/4.11.0").get_devices()
        models = {id: record.model for id, record in records.items()}
        async with MysaMqttClient(auth.async_get_id_token, models) as client:
            task = asyncio.create_task(watch(client))
            for id in models:
                await client.request_live_status(id)
            version = importlib.metadata.version("mysa-client")
            await measure(f"mysa-client {version}", seconds, "messages", lambda: count)
            task.cancel()


START = memory()
asyncio.run({"mysa": mysa, "mysa_client": mysa_client}[sys.argv[1]](float(sys.argv[2])))
