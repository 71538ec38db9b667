import pytest
from mysa.sim import SimulatedCloud, faults


def test_the_simulated_cloud_is_deterministic_and_has_faults() -> None:
    assert "rest-down" in faults()
    with pytest.raises(ValueError, match="no fault of this name"):
        SimulatedCloud(faults=["rain"])
    with SimulatedCloud(devices=[("b0b1c2d3e4f6", "BB-V2-0", "Cabin")]) as cloud:
        assert cloud.device_ids == ["b0b1c2d3e4f6"]
        cloud.freeze()
        cloud.set_room("b0b1c2d3e4f6", 10.0)
        cloud.turn("b0b1c2d3e4f6", setpoint=25.0, mode="heat")
        cloud.advance(3600.0)
        warmed = cloud.truth("b0b1c2d3e4f6")
        assert warmed["temperature_c"] > 10.0 and warmed["energy_kwh"] > 0.1
        cloud.resume()
        with pytest.raises(ValueError, match="up or down"):
            cloud.press("b0b1c2d3e4f6", "left")
        with pytest.raises(ValueError, match="unknown thermostat"):
            cloud.truth("ffffffffffff")
    cloud.stop()
    with pytest.raises(RuntimeError, match="stopped"):
        cloud.truth("b0b1c2d3e4f6")
