"""What `tunesmith serve` sees before anything is started."""

from __future__ import annotations

import socket

import pytest

from tunesmith.serve.local import _check_port, _last_line
from tunesmith.serve.spec import ServeError


def test_a_port_that_is_taken_is_said() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ServeError, match=f"port {port} of 127.0.0.1 cannot be used: Address already in use"):
            _check_port("127.0.0.1", port)
    _check_port("127.0.0.1", port)


def test_an_address_of_another_machine_is_said() -> None:
    with pytest.raises(ServeError, match="cannot be used"):
        _check_port("192.0.2.77", 8000)


@pytest.mark.parametrize(("text", "last"), [("", "no reason given"), ("a\n  b \n\n", "b"), ("x" * 999, "x" * 400)])
def test_the_last_line_of_a_failure(text: str, last: str) -> None:
    assert _last_line(text) == last
