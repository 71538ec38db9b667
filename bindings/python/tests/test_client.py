import asyncio
import pickle
import subprocess
import sys
import threading
import time
import traceback

import mysa
import mysa.sync
import pytest
from mysa import errors
from mysa.events import DeviceEvent, ServiceEvent, VerdictEvent
from mysa.sim import SimulatedCloud

# Ends a test that hangs. Nothing here depends on the speed of the machine.
LIMIT_S = 300.0


def connect(cloud: SimulatedCloud, **settings):
    return mysa.connect(cloud.email, password=cloud.password, **cloud.options, **settings)


def run(work) -> None:
    asyncio.run(asyncio.wait_for(work, LIMIT_S))


def test_a_command_is_confirmed_and_the_state_shows_it(mysa_cloud: SimulatedCloud) -> None:
    async def work() -> None:
        async with connect(mysa_cloud) as client:
            kitchen = client.find("kitchen")
            assert kitchen.device.model == "BB-V2-0" and kitchen.setpoint_range_c == (5.0, 30.0, 0.5)
            verdict = await client.set(kitchen.id, setpoint=20.3, mode="heat")
            assert verdict and verdict.is_confirmed and verdict.check() is verdict, verdict
            assert mysa_cloud.truth(kitchen.id)["setpoint_c"] == 20.5, "on the step of the model"
            state = client.states[kitchen.id]
            assert (state.setpoint_c, state.mode) == (20.5, "heat")
        with pytest.raises(errors.ClosedError):
            await client.set(kitchen.id, setpoint=20)
        assert mysa_cloud.counters["dangerous_requests"] == 0

    run(work())


def test_events_show_changes_verdicts_and_the_service(mysa_cloud: SimulatedCloud) -> None:
    async def work() -> None:
        async with connect(mysa_cloud) as client:
            kitchen = client.find("Kitchen").id
            events = client.events()
            verdict = await client.set_setpoint(kitchen, 22.0)
            found = []
            async for event in events:
                found.append(event)
                if isinstance(event, VerdictEvent):
                    break
            assert found[-1].device_id == kitchen and found[-1].verdict == verdict
            # Somebody presses a button at the wall.
            mysa_cloud.press(kitchen, "up")
            async for event in events:
                if isinstance(event, DeviceEvent) and "setpoint" in event.changes and event.device_id == kitchen:
                    if event.thermostat.state.setpoint_c == 22.5:
                        break

    run(work())


def test_a_wait_that_is_cancelled_loses_no_event(mysa_cloud: SimulatedCloud) -> None:
    async def work() -> None:
        async with connect(mysa_cloud) as client:
            kitchen = client.find("Kitchen").id
            events = client.events()
            setting = asyncio.ensure_future(client.set_mode(kitchen, "off"))
            verdicts = []
            end = time.monotonic() + LIMIT_S
            while not verdicts:
                assert time.monotonic() < end, "the verdict is lost"
                # Cancelled at every point that the event loop offers.
                waiting = asyncio.ensure_future(events.__anext__())
                await asyncio.sleep(0)
                waiting.cancel()
                try:
                    event = await waiting
                except asyncio.CancelledError:
                    continue
                verdicts += [event] if isinstance(event, VerdictEvent) else []
            assert (await setting) == verdicts[0].verdict

    run(work())


def test_a_command_whose_caller_is_cancelled_still_has_a_verdict(mysa_cloud: SimulatedCloud) -> None:
    async def work() -> None:
        async with connect(mysa_cloud) as client:
            kitchen = client.find("Kitchen").id
            events = client.events()
            # The thermostat does not answer before the caller is cancelled.
            mysa_cloud.freeze()
            setting = asyncio.ensure_future(client.set_setpoint(kitchen, 23.0))
            # Handed over, once the client shows it as pending.
            while not client.thermostat(kitchen).pending:
                await asyncio.sleep(0)
            setting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await setting
            mysa_cloud.resume()
            async for event in events:
                if isinstance(event, VerdictEvent):
                    assert event.verdict.is_confirmed
                    break

    run(work())


def test_connecting_can_be_cancelled(mysa_cloud: SimulatedCloud) -> None:
    async def work() -> None:
        mysa_cloud.fault("rest-hang")
        connecting = asyncio.ensure_future(connect(mysa_cloud).__aenter__())
        while mysa_cloud.counters["sign_ins"] == 0:
            await asyncio.sleep(0.01)
        connecting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await connecting

    run(work())


def test_a_slow_reader_gets_the_latest_state(mysa_cloud: SimulatedCloud) -> None:
    async def work() -> None:
        async with connect(mysa_cloud) as client:
            kitchen = client.find("Kitchen").id
            events = client.events()
            for setpoint in (18.0, 19.0, 20.0):
                (await client.set_setpoint(kitchen, setpoint)).check()
            # Nothing was read so far.
            async for event in events:
                if isinstance(event, DeviceEvent) and event.device_id == kitchen:
                    assert event.thermostat.state.setpoint_c == 20.0
                    break

    run(work())


def test_no_thread_of_python_is_blocked(mysa_cloud: SimulatedCloud) -> None:
    async def work() -> None:
        async with connect(mysa_cloud) as client:
            assert threading.active_count() == before, "no helper threads"
            setting = asyncio.ensure_future(client.set_setpoint(client.find("Kitchen").id, 21.0))
            turns = 0
            while not setting.done():
                await asyncio.sleep(0)
                turns += 1
            assert turns > 1

    before = threading.active_count()
    run(work())


def test_two_accounts_run_side_by_side(mysa_cloud: SimulatedCloud) -> None:
    async def work() -> None:
        with SimulatedCloud(devices=[("b0b1c2d3e4f6", "BB-V2-0", "Cabin")]) as other:
            async with connect(mysa_cloud) as home, connect(other) as cabin:
                assert len(home.devices) == 5 and list(cabin.devices) == ["b0b1c2d3e4f6"]
                verdicts = await asyncio.gather(
                    home.set_setpoint("a0b1c2d3e4f6", 21.0), cabin.set_setpoint("b0b1c2d3e4f6", 21.0)
                )
                assert all(verdicts)

    run(work())


def test_the_states_of_all_thermostats_can_be_awaited(mysa_cloud: SimulatedCloud) -> None:
    async def work() -> None:
        async with connect(mysa_cloud) as client:
            assert await client.wait_for_states(LIMIT_S)
            assert all(state.temperature_c is not None for state in client.states.values())

    run(work())


def test_a_fan_speed_is_that_of_the_unit_with_the_name(mysa_cloud: SimulatedCloud) -> None:
    async def work() -> None:
        async with connect(mysa_cloud) as client:
            office = client.find("Office").id
            assert await client.set(office, mode="cool", fan="low")
            assert (await client.set(office, fan=2)).outcome == "refused", "the unit has another speed of this name"

    run(work())


def test_refusals_are_verdicts_and_can_be_raised(mysa_cloud: SimulatedCloud) -> None:
    async def work() -> None:
        async with connect(mysa_cloud) as client:
            verdict = await client.set(client.find("Kitchen").id, setpoint=90)
            assert not verdict and (verdict.outcome, verdict.refused_by) == ("refused", "client")
            with pytest.raises(errors.RefusedError, match="5 to 30"):
                verdict.check()
            assert (await client.set("ffffffffffff", setpoint=20)).outcome == "refused"
            with pytest.raises(errors.RefusedError):
                await client.preview(client.find("Kitchen").id, setpoint=90)
            preview = await client.preview(client.find("Kitchen").id, setpoint=20.3)
            assert preview["settings"] == {"setpoint": 20.5} and "20.5" in preview["payload"]
            with pytest.raises(errors.InvalidValueError, match="Kitchen"):
                client.find("Cellar")
            with pytest.raises(errors.InvalidValueError):
                await client.set("not/an/id", setpoint=20)

    run(work())


def test_a_read_only_client_sends_no_command(mysa_cloud: SimulatedCloud) -> None:
    async def work() -> None:
        async with connect(mysa_cloud, read_only=True) as client:
            before = mysa_cloud.truth("a0b1c2d3e4f6")["commands"]
            verdict = await client.set("a0b1c2d3e4f6", setpoint=21)
            assert verdict.outcome == "refused"
            assert mysa_cloud.truth("a0b1c2d3e4f6")["commands"] == before

    run(work())


def test_the_session_is_stored_and_resumed_without_a_password(mysa_cloud: SimulatedCloud, tmp_path) -> None:
    store = tmp_path / "sessions"
    store.mkdir(mode=0o700)

    async def work() -> None:
        async with connect(mysa_cloud, store=store) as client:
            assert len(client.devices) == 5
        async with mysa.connect(mysa_cloud.email, store=store, **mysa_cloud.options) as client:
            assert len(client.devices) == 5
            assert mysa_cloud.counters["sign_ins"] == 1
            assert await client.sign_out() == "revoked"
        with pytest.raises(errors.AuthError) as caught:
            await mysa.connect(mysa_cloud.email, store=store, **mysa_cloud.options)
        assert caught.value.needs_sign_in

    run(work())


def test_a_wrong_password_is_an_auth_error_without_the_password(mysa_cloud: SimulatedCloud) -> None:
    async def work() -> None:
        connecting = mysa.connect(mysa_cloud.email, password="hunter2-canary", **mysa_cloud.options)
        try:
            await connecting
        except errors.AuthError as error:
            assert error.needs_sign_in
            shown = "".join(
                traceback.TracebackException.from_exception(error, capture_locals=True).format()
            ) + repr(error)
            assert "hunter2" not in shown.replace('password="hunter2-canary"', "")
            assert b"hunter2" not in pickle.dumps(error)
        else:
            pytest.fail("signed in with a wrong password")
        assert "hunter2" not in repr(connecting) + repr(vars(connecting))

    run(work())


def test_a_cloud_that_cannot_be_reached_is_a_transport_error(mysa_cloud: SimulatedCloud) -> None:
    mysa_cloud.stop()

    async def work() -> None:
        with pytest.raises(errors.TransportError) as caught:
            await connect(mysa_cloud)
        assert not caught.value.needs_sign_in

    run(work())


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"modes": "mine"}, "design_document"),
        ({"environment": "no where"}, "HOST:PORT"),
        ({"connect_to": "here"}, "ADDRESS:PORT"),
        ({"channel": "pigeon"}, "structured"),
        ({"command_deadline_s": -1.0}, "seconds"),
    ],
)
def test_invalid_settings_name_what_is_expected(settings: dict, expected: str) -> None:
    with pytest.raises(errors.InvalidValueError, match=expected):
        mysa.sync.connect("user@example.com", password="p", **settings)


def test_raw_messages_are_events_if_asked(mysa_cloud: SimulatedCloud) -> None:
    async def work() -> None:
        async with connect(mysa_cloud, raw_messages=True) as client:
            async for event in client.events():
                if isinstance(event, mysa.events.MessageEvent):
                    assert mysa.protocol.decode_message(event.topic, event.payload)["device"] == event.device_id
                    break

    run(work())


def test_the_client_reads_rest_and_signs_urls(mysa_cloud: SimulatedCloud) -> None:
    async def work() -> None:
        async with connect(mysa_cloud) as client:
            assert "DevicesObj" in await client.get("/devices")
            with pytest.raises(errors.RefusedError) as caught:
                await client.get("/nowhere")
            assert caught.value.status == 404
            with pytest.raises(errors.InvalidValueError):
                await client.get("/iot-token")
            url = await client.presign()
            assert repr(url) == "Secret(..)" and mysa.protocol.inspect(url)["path"] == "/mqtt"
            now = time.time()
            # Longer than a summer, in which the heater is off for days.
            days = await client.energy("a0b1c2d3e4f6", now - 200 * 86_400, now, time_zone="America/Halifax")
            assert days and any(day["energy_kwh"] for day in days)

    run(work())


def test_the_twin_for_scripts(mysa_cloud: SimulatedCloud) -> None:
    rated = {"a0b1c2d3e4f6": 1250.0}
    with mysa.sync.connect(
        mysa_cloud.email, password=mysa_cloud.password, rated_watts=rated, **mysa_cloud.options
    ) as client:
        kitchen = client.find("Kitchen")
        assert kitchen.device.rated_watts == 1250
        events = client.events(timeout_s=LIMIT_S)
        assert client.set(kitchen.id, setpoint=19.5).check().after_s is not None
        assert any(isinstance(event, VerdictEvent) for event in iter(events.next, None))
        assert client.service.level in ("live", "rest_only")
        assert client.events(timeout_s=0).next(0) is None
        with pytest.raises(TypeError, match="pickled"):
            pickle.dumps(client)
    assert isinstance(client.service.reason, str)
    assert not list(event for event in events if isinstance(event, ServiceEvent) and event.service is None)


def test_other_threads_run_while_a_call_waits(mysa_cloud: SimulatedCloud) -> None:
    with mysa.sync.connect(mysa_cloud.email, password=mysa_cloud.password, **mysa_cloud.options) as client:
        ran = threading.Event()
        stream = client.events()
        while stream.next(0):
            pass
        waiter = threading.Thread(target=lambda: stream.next(LIMIT_S), daemon=True)
        waiter.start()
        ran.set()
        assert ran.is_set(), "this thread continues"
        client.close()
        waiter.join(LIMIT_S)
        assert not waiter.is_alive(), "the end of the client ends the wait"


def test_a_program_may_end_while_a_thread_of_the_runtime_is_in_python() -> None:
    # The loop keeps the thread that has completed an await in Python, until after the end of the program.
    program = """
import asyncio, threading, time, mysa
from mysa.sim import SimulatedCloud

class Loop(asyncio.SelectorEventLoop):
    def call_soon_threadsafe(self, *arguments, **named):
        handle = super().call_soon_threadsafe(*arguments, **named)
        if threading.current_thread() is not threading.main_thread():
            for _ in range(500):
                time.sleep(0.001)
        return handle

async def work():
    async with mysa.connect(cloud.email, password=cloud.password, **cloud.options) as client:
        assert client.thermostats

with SimulatedCloud() as cloud:
    Loop().run_until_complete(work())
print("done", flush=True)
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (ended.returncode, ended.stdout) == (0, "done\n"), ended.stderr
