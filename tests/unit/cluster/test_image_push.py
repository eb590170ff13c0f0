import pytest
from imagebuilder.buildah import is_loopback


@pytest.mark.parametrize(
    "destination", ["localhost/m/x:1", "localhost:5000/x:1", "127.0.0.1:5000/m/x:1", "[::1]:5000/x:1"]
)
def test_a_registry_on_this_machine_may_speak_plain_http(destination: str) -> None:
    assert is_loopback(destination)


@pytest.mark.parametrize("destination", ["localhost.example.com/x:1", "10.0.0.1:5000/x:1", "example.com/127.0.0.1/x:1"])
def test_any_other_must_speak_tls(destination: str) -> None:
    assert not is_loopback(destination)
