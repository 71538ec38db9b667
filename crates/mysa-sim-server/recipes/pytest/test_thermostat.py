import asyncio
import time

import aiohttp
import pytest
from mysa_client.cloud import Mode, MysaAuth, MysaClient, MysaError

KITCHEN = "a0b1c2d3e4f6"
AGENT = "okhttp/4.11.0"


async def set_kitchen(cloud, celsius):
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=cloud.ssl)) as session:
        auth = MysaAuth(session, user_agent=AGENT)
        await auth.sign_in(cloud.email, cloud.password)
        await MysaClient(session, auth, user_agent=AGENT).set_temperature(KITCHEN, Mode.HEAT, celsius)


def test_a_setpoint_reaches_the_thermostat(mysa_cloud):
    asyncio.run(set_kitchen(mysa_cloud, 22.5))
    end = time.monotonic() + 60
    while mysa_cloud.control(f"devices/{KITCHEN}")["setpoint_c"] != 22.5:
        assert time.monotonic() < end
        time.sleep(0.1)


def test_a_failing_cloud_is_reported(mysa_cloud):
    mysa_cloud.control("faults", {"name": "rest-down"})
    with pytest.raises(MysaError):
        asyncio.run(set_kitchen(mysa_cloud, 20.0))
    mysa_cloud.control("faults", method="DELETE")
