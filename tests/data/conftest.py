import pytest
from loopback import Server

from mtlkit.data import transfer


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(transfer, "PAUSE", 0.0)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    served = Server()
    yield served
    served.server.shutdown()
    served.server.server_close()
