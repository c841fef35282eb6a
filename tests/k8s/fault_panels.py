"""The faults of ``make chaos``, and the panel of the dashboard that shows each of them."""

RESTARTS = {
    "kill -9 the engine's arbiter": ("Engine restarts", 0, "a"),
    "remove the socket, kill the engine": ("Engine restarts", 1, "killed"),
    "kill -9 an HTTP worker": ("Worker restarts", 0, "a"),
}
"""Faults that kill a process, with the panel that shows each, its query, and a label there."""
HANGS = {
    "a batch hangs": ("Engine restarts", 1, "time_limit"),
    "the engine hangs": ("Engine restarts", 1, "time_limit"),
    "an HTTP worker hangs": ("Worker restarts", 0, "b"),
}
"""The same of faults that have a process hang, in the second replica."""
OTHERS = {
    "another version (SIGHUP)": "Models",
    "a spoilt version (SIGHUP)": "Refused bundles",
    "kill -9 the engine": "Engine restarts",
    "freeze the engine": "In flight",
    "freeze an HTTP worker": "Event loop lag",
}
"""The faults that have a test of their own, and the panel that it looks at."""
NOWHERE = {
    "reload (SIGHUP)": "it is no fault, and no request is lost",
    "freeze the engine's arbiter": "engines serve on without it",
    "a batch raises": "each request runs again alone; one that fails then is a failed request",
    "a batch finds no memory": "the same",
}
"""The faults that no panel shows, and why: nobody has to look. The log tells of the last two."""
