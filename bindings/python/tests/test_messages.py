import doctest
import pathlib

import mysa
import mysa.errors
import mysa.models
import mysa.mqtt
import mysa.protocol
import mysa.sim
import pytest

TOPIC = "/v1/dev/a0b1c2d3e4f6/out"
STATUS = (
    '{"ver":"1.0","src":{"type":1,"ref":"a0b1c2d3e4f6"},"time":1712345678,"msg":40,"id":8724654694500694114,'
    '"body":{"ambTemp":19.1,"hum":41.5,"stpt":20.0,"dtyCycle":0.42}}'
)
ACK = '{"msg":44,"body":{"success":1,"type":4,"trig_src":3,"state":{"md":1,"sp":20.0,"lk":0,"ho":1,"br":100}}}'


def test_a_status_has_the_values_of_the_design_document() -> None:
    state = mysa.parse_out_message(TOPIC, STATUS)
    assert (state.temperature_c, state.humidity_pct, state.setpoint_c, state.duty_cycle) == (19.1, 41.5, 20.0, 0.42)
    assert state.mode is None and state.power_w is None
    mysa.compute_power(state, 1000)
    assert state.power_w == 420


@pytest.mark.parametrize("kind", [str, str.encode, lambda text: bytearray(text.encode()), lambda text: memoryview(text.encode())])
def test_a_payload_may_be_text_or_any_kind_of_bytes(kind) -> None:
    assert mysa.parse_out_message(TOPIC, kind(STATUS)).setpoint_c == 20.0


def test_the_number_of_a_mode_is_read_by_the_observed_table_unless_asked_otherwise() -> None:
    assert mysa.parse_out_message(TOPIC, ACK).mode == "off" == mysa.MODE_MAP_NUM2STR[1]
    assert mysa.parse_out_message(TOPIC, ACK, modes="design_document").mode == "heat"
    assert mysa.parse_out_message(TOPIC, ACK.replace('"md":1', '"md":77')).mode == "77"


def test_a_message_about_another_thermostat_is_not_taken() -> None:
    other = STATUS.replace("a0b1c2d3e4f6", "ffffffffffff")
    assert mysa.parse_out_message(TOPIC, other) == mysa.State()


@pytest.mark.parametrize("payload", ["", "null", "[]", STATUS[:-5], b"\xff{}"])
def test_what_is_not_a_message_raises_a_value_error_of_the_package(payload) -> None:
    with pytest.raises(mysa.errors.DecodeError) as caught:
        mysa.parse_out_message(TOPIC, payload)
    assert isinstance(caught.value, ValueError) and isinstance(caught.value, mysa.MysaError)


def test_wrong_arguments_name_what_is_expected() -> None:
    with pytest.raises(mysa.errors.DecodeError, match="/v1/dev/ID/out"):
        mysa.parse_out_message("other", STATUS)
    with pytest.raises(TypeError, match="expected bytes or str"):
        mysa.parse_out_message(TOPIC, 7)  # type: ignore[arg-type]
    with pytest.raises(mysa.errors.InvalidValueError, match="design_document"):
        mysa.parse_out_message(TOPIC, STATUS, modes="mine")


def test_the_examples_in_the_docs_run() -> None:
    for module in (mysa, mysa.models, mysa.mqtt, mysa.protocol, mysa.sim):
        assert doctest.testmod(module).failed == 0


def test_the_readme_runs() -> None:
    readme = pathlib.Path(__file__).parent.parent / "README.md"
    results = doctest.testfile(str(readme), module_relative=False)
    assert results.failed == 0 and results.attempted >= 5
