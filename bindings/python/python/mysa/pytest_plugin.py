"""Plugin for pytest: the fixture ``mysa_cloud``.

::

    def test_my_program(mysa_cloud):
        with mysa.sync.connect(mysa_cloud.email, password=mysa_cloud.password, **mysa_cloud.options) as client:
            ...
"""

from __future__ import annotations

from typing import Iterator

import pytest

from .sim import SimulatedCloud


@pytest.fixture
def mysa_cloud() -> Iterator[SimulatedCloud]:
    """A simulated Mysa cloud of its own for the test; see :class:`mysa.sim.SimulatedCloud`."""
    with SimulatedCloud() as cloud:
        yield cloud
