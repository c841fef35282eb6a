"""Which tests share a process, one after the other, where pytest-xdist runs two at a time."""

from xdist.scheduler import LoadScopeScheduling

SERVERS = (
    "chaos/",
    "loadtests/",
    "page/",
    "proxy/",
    "test_carfront_processes.py",
    "test_server_colors.py",
    "test_server_connections.py",
    "test_server_processes.py",
    "test_whole_way.py",
)
"""No server has to share the machine with another that is killed, soaked or overloaded."""
TENSORFLOW = ("training/", "export/", "gpu/")
"""What was imported, trained or exported once serves all of these tests."""


class TwoAtATime(LoadScopeScheduling):
    """Gives a process that is free all tests of one kind, those first of which there are most."""

    def _split_scope(self, nodeid: str) -> str:
        """Return the name that all tests share which belong into the same process."""
        place = nodeid.partition("::")[0].removeprefix("tests/")
        if place.startswith(SERVERS):
            return "servers"
        return "tensorflow" if place.startswith(TENSORFLOW) else place
