"""mysa-client as a program that runs for long, for `mysa sim --check`: it reads, listens and sets until it is ended."""

import asyncio
import itertools
import os

import aiohttp
from mysa_client.cloud import MysaAuth, MysaClient, MysaError
from mysa_client.mqtt import MysaMqttClient

EMAIL, PASSWORD = os.environ["MYSA_EMAIL"], os.environ["MYSA_PASSWORD"]
KITCHEN, BEDROOM = "a0b1c2d3e4f6", "a0b1c2d3e4f7"
AGENT = "okhttp/4.11.0"


async def read(client: MysaClient) -> None:
    while True:
        try:
            await client.get_devices()
            pause = 1.0
        except (MysaError, aiohttp.ClientError, TimeoutError):
            pause = 6.0
        await asyncio.sleep(pause)


async def command(auth: MysaAuth) -> None:
    models = {KITCHEN: "BB-V2-0", BEDROOM: "BB-V2-0-L"}
    temperatures = itertools.cycle([19.0, 19.5, 20.0, 20.5])
    while True:
        try:
            async with MysaMqttClient(auth.async_get_id_token, models) as client:
                for celsius in temperatures:
                    await client.set_setpoint(BEDROOM, celsius)  # it commands only the Lite
                    await asyncio.sleep(1)
        except Exception as error:  # whatever ends a connection, it makes another one
            print(f"interop:   connection ended: {type(error).__name__}")
        await asyncio.sleep(2)


async def main() -> None:
    async with aiohttp.ClientSession() as session:
        auth = MysaAuth(session, user_agent=AGENT)
        await auth.sign_in(EMAIL, PASSWORD)
        await asyncio.gather(read(MysaClient(session, auth, user_agent=AGENT)), command(auth))


asyncio.run(main())
