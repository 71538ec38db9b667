"""Runs the simulated Mysa cloud for the tests."""

import json
import os
import socket
import ssl
import subprocess
from types import SimpleNamespace
from urllib.request import Request, urlopen

import pytest


@pytest.fixture(scope="session")
def mysa_cloud(tmp_path_factory):
    """The simulated cloud: account, trust and control. The names of the real cloud lead to it."""
    ca = tmp_path_factory.mktemp("mysa") / "ca.pem"
    options = ["--listen", "127.0.0.1:0", "--no-schedules", "--ca", str(ca), "--json"]
    command = [os.environ.get("MYSA", "mysa"), "sim", *options]
    simulator = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    started = json.loads(simulator.stdout.readline())
    address, port = started["address"].split(":")
    look_up = socket.getaddrinfo

    def redirected(host, asked, *args, **kwargs):
        if isinstance(host, str) and host.endswith(("mysa.cloud", "amazonaws.com")):
            host, asked = address, int(port)
        return look_up(host, asked, *args, **kwargs)

    def control(path, body=None, method=None):
        """Reads the state of the simulator, or changes it if there is a body."""
        data = None if body is None else json.dumps(body).encode()
        request = Request(started["control"] + path, data, {"Content-Type": "application/json"}, method=method)
        with urlopen(request, timeout=30) as answer:
            return json.load(answer)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", redirected)
        patch.setenv("AWS_CA_BUNDLE", str(ca))  # for boto3
        account = started["accounts"][0]
        yield SimpleNamespace(
            email=account["email"],
            password=account["password"],
            ssl=ssl.create_default_context(cafile=ca),
            control=control,
        )
    simulator.terminate()
    simulator.wait()
