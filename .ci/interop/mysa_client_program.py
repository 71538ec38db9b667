"""mysa-client as its users use it: sign in, list, read, hear statuses, set temperatures by both ways, renew."""

import asyncio
from datetime import UTC, datetime, timedelta
import os

import aiohttp
import boto3
from mysa_client.cloud import ButtonLock, Mode, MysaAuth, MysaClient, MysaInvalidCredentialsError, MysaNotFoundError
from mysa_client.mqtt import MysaMqttClient
from mysa_client.mqtt.auth import get_identity_credentials

EMAIL, PASSWORD = os.environ["MYSA_EMAIL"], os.environ["MYSA_PASSWORD"]
KITCHEN, BEDROOM = "a0b1c2d3e4f6", "a0b1c2d3e4f7"
AGENT = "okhttp/4.11.0"


def log(text: str) -> None:
    print(f"interop:   {text}")


async def becomes(what: str, read, wanted) -> None:
    """Reads until the value is there: the cloud accepts a value before the thermostat has it."""
    for _ in range(100):
        value = await read()
        if value == wanted:
            log(f"{what} is {value}")
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"{what} is {value}, not {wanted}")


async def rest(client: MysaClient) -> dict[str, str]:
    bootstrap = await client.bootstrap()
    assert bootstrap.user_id == client.auth.claims["sub"], bootstrap.user_id
    assert len(bootstrap.home_ids) == 1 and len(bootstrap.devices) == 5, bootstrap
    home = bootstrap.home_ids[0]
    records = await client.get_devices()
    assert set(records) == set(bootstrap.devices), records.keys()
    for device, record in records.items():
        assert record.name and record.model and record.home_id == home and record.time_zone, record
        assert (await client.get_device(device)).model == record.model
        capabilities = await client.get_capabilities(device)
        assert capabilities is not None
        firmware = await client.get_firmware_info(device)
        assert firmware.installed_version, firmware
    assert set(await client.get_firmware_catalog()) == set(records)
    log(f"{len(records)} devices: {', '.join(sorted(record.name for record in records.values()))}")

    states = await client.get_states(records)
    legacy = await client.get_legacy_states(records)
    assert set(states) == set(legacy) == set(records), client.source_errors
    assert client.legacy_source == "R"
    for device in records:
        log(f"{records[device].name}: {states[device].room_temperature} °C, {states[device].mode}")
    for device, state in states.items():
        one = await client.get_state(device)
        for seen in (state, legacy[device], one):
            assert seen.room_temperature is not None and 5 < seen.room_temperature < 35, (device, seen)
            assert seen.mode is not None, (device, seen)

    await client.set_temperature(KITCHEN, Mode.HEAT, 22.5)
    await becomes("kitchen setpoint by REST", lambda: setpoint(client, KITCHEN), 22.5)
    await client.set_mode(KITCHEN, Mode.OFF)
    await becomes("kitchen mode by REST", lambda: mode(client, KITCHEN), Mode.OFF)
    await client.set_mode(KITCHEN, Mode.HEAT)
    await becomes("kitchen mode by REST", lambda: mode(client, KITCHEN), Mode.HEAT)
    await client.update_settings(KITCHEN, {"Format": "fahrenheit"})
    assert (await client.get_device(KITCHEN)).display_unit == "F"
    for what, change, section, member, value in [
        ("lock", client.set_button_lock(KITCHEN, ButtonLock.LOCKED), "physicalInterface", "lockout", 3),
        ("no lock", client.set_button_lock(KITCHEN, ButtonLock.UNLOCKED), "physicalInterface", "lockout", 0),
        ("brightness", client.set_display_brightness(KITCHEN, active=70, idle=20), "physicalInterface", "idleIntensity", 20),
        ("unit", client.set_display_unit(KITCHEN, "C", route="S"), "physicalInterface", "format", "C"),
        ("least setpoint", client.set_setpoint_limit(KITCHEN, 7, minimum=True), "targetHeat", "lockoutMin", 7),
        ("greatest setpoint", client.set_setpoint_limit(KITCHEN, 25, minimum=False), "targetHeat", "lockoutMax", 25),
        ("offset", client.set_temperature_offset(KITCHEN, 1.5), "tracking", "ambientOffset", 1.5),
        ("heater", client.set_heater_type(KITCHEN, 9, route="S"), "bbConfig", "controlType", 9),
    ]:
        await change
        await becomes(what, lambda: reported(client, section, member), value)

    now = datetime.now(UTC)
    usage = await client.get_usage(KITCHEN, "America/Halifax", now - timedelta(days=3), now)
    assert len(usage) in (3, 4) and all(day.heat_seconds is not None for day in usage), usage
    history = await client.get_state_history(KITCHEN, now - timedelta(hours=1), now + timedelta(minutes=1))
    assert history, "the changes just made"
    assert await client.get_hold(BEDROOM) is None
    await client.set_hold(BEDROOM, {"targetHeat": {"setpoint": 19.0}})
    assert await client.get_hold(BEDROOM) is not None
    await client.resume_schedule(BEDROOM)
    assert await client.get_hold(BEDROOM) is None
    event = {"executionTime": "06:00:00", "dayOfWeek": "1", "clientKey": "a", "state": {"targetHeat": {"setpoint": 20}}}
    schedule = await client.create_schedule(home_id=home, device_id=KITCHEN, device_type="BB-V2-0", events=[event])
    assert schedule in {known["id"] for known in await client.get_all_schedules(home)}
    await client.delete_schedule(schedule, KITCHEN)
    away = next(scene for scene in await client.get_shortcuts(home) if scene["Id"].endswith("_away"))
    actions = {BEDROOM: {"type": 3, "mode": 4, "setpoint": 16}}
    await client.update_shortcut(away["Id"], actions, all_devices=False)
    assert actions in [scene["DeviceActions"] for scene in await client.get_shortcuts(home)]
    log("schedules and scenes")
    live = await client.start_live_mode(home)
    assert KITCHEN in live, live
    try:
        await client.get_state("ffffffffffff")
    except MysaNotFoundError:
        pass
    else:
        raise AssertionError("a device of nobody was found")
    return {device: record.model for device, record in records.items()}


async def setpoint(client: MysaClient, device: str) -> float | None:
    state = await client.get_state(device)
    return state.setpoint_for(Mode.HEAT)


async def reported(client: MysaClient, section: str, member: str):
    return (await client._request("GET", f"/state/{KITCHEN}"))[section]["reported"][member]


async def mode(client: MysaClient, device: str) -> Mode | None:
    return (await client.get_state(device)).mode


def serial(id_token: str) -> str:
    """As other programs ask AWS's control plane for it; mysa-client itself does not."""
    credentials = get_identity_credentials(
        id_token,
        region="us-east-1",
        identity_pool_id="us-east-1:ebd95d52-9995-45da-b059-56b865a18379",
        user_pool_id="us-east-1_GUFWfhI7g",
    )
    iot = boto3.client(
        "iot",
        region_name="us-east-1",
        aws_access_key_id=credentials.access_key_id,
        aws_secret_access_key=credentials.secret_access_key,
        aws_session_token=credentials.session_token,
    )
    return iot.describe_thing(thingName=KITCHEN)["attributes"]["Serial"]


async def mqtt(auth: MysaAuth, models: dict[str, str]) -> None:
    async with MysaMqttClient(auth.async_get_id_token, {KITCHEN: models[KITCHEN], BEDROOM: models[BEDROOM]}) as client:
        assert client.connected
        await client.request_live_status(KITCHEN)

        async def telemetry() -> None:
            async for message in client.events():
                if message.telemetry is not None:
                    log(f"received over MQTT: {message.telemetry}")
                    return

        await asyncio.wait_for(telemetry(), 30)
        echo = await client.echo(BEDROOM)
        log(f"echo: {echo}")
        result = await client.set_setpoint(BEDROOM, 20.5)
        log(f"setpoint by MQTT: {result}")
        assert result.device_confirmed, result
        result = await client.set_mode(BEDROOM, "off")
        assert result.device_confirmed, result


async def main() -> None:
    async with aiohttp.ClientSession() as session:
        auth = MysaAuth(session, user_agent=AGENT)
        try:
            await auth.sign_in(EMAIL, "not the password")
        except MysaInvalidCredentialsError:
            log("a wrong password is refused")
        else:
            raise AssertionError("a wrong password was taken")
        await auth.sign_in(EMAIL, PASSWORD)
        log("signed in by SRP")
        first = await auth.async_get_id_token()
        assert await auth.async_get_id_token(force_refresh=True) != first
        log("tokens renewed")
        models = await rest(MysaClient(session, auth, user_agent=AGENT))
        log(f"serial number: {serial(await auth.async_get_id_token())}")
        await mqtt(auth, models)
    log("mysa-client: all done")


asyncio.run(main())
