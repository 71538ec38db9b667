import json
import os
import subprocess
import sys
import sysconfig

from mysa.sim import SimulatedCloud


def mysa(*arguments: str, environment=None, input: str = "") -> subprocess.CompletedProcess:
    program = os.path.join(sysconfig.get_path("scripts"), "mysa")
    return subprocess.run(
        [program, *arguments], capture_output=True, text=True, input=input, env={**os.environ, **(environment or {})}
    )


def test_the_command_is_installed_with_the_package() -> None:
    shown = mysa("--version")
    assert shown.returncode == 0 and shown.stdout.startswith("mysa ")
    assert mysa("nonsense").returncode == 2
    module = subprocess.run([sys.executable, "-m", "mysa", "--version"], capture_output=True, text=True)
    assert module.stdout == shown.stdout


def test_the_command_works_and_its_exit_codes_arrive(mysa_cloud: SimulatedCloud, tmp_path) -> None:
    ca = tmp_path / "ca.pem"
    ca.write_text(mysa_cloud.ca_pem)
    environment = {
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
        "XDG_STATE_HOME": str(tmp_path / "state"),
        "MYSA_CA": str(ca),
        "MYSA_CONNECT_TO": mysa_cloud.address,
    }
    assert mysa("devices", environment=environment).returncode == 4, "not signed in"
    login = mysa("login", mysa_cloud.email, "--password-stdin", environment=environment, input=mysa_cloud.password)
    assert login.returncode == 0, login.stderr
    devices = mysa("devices", "--json", environment=environment)
    assert [device["name"] for device in json.loads(devices.stdout)["devices"]].count("Kitchen") == 1
    done = mysa("set", "Kitchen", "--temp", "20.5", environment=environment)
    assert done.returncode == 0, done.stderr
    assert mysa_cloud.truth("a0b1c2d3e4f6")["setpoint_c"] == 20.5
    assert mysa("set", "Kitchen", "--temp", "90", environment=environment).returncode == 7


def test_a_service_does_not_run_a_python_interpreter() -> None:
    refused = mysa("bridge", "install-service")
    assert refused.returncode == 1 and "cargo install" in refused.stderr and refused.stdout == ""
