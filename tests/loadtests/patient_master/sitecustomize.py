"""Loaded by Python at its start where this folder is on the path: Locust's master is patient.

Locust by itself takes a worker for lost that was silent for three seconds; a busy machine may let a
process stand still for longer.
"""

import sys
from importlib.machinery import PathFinder

SILENT_S = 900
"""The seconds that a worker may be silent."""


class RunnersFinder:
    """Finds Locust's runners as Python does, and changes their limit once they are imported.

    Nothing of Locust is imported here: it has to have gevent patch Python before anything else is.
    """

    def find_spec(self, name, path, target=None):
        spec = PathFinder.find_spec(name, path) if name == "locust.runners" else None
        if spec is None:
            return None
        execute = spec.loader.exec_module

        def execute_and_set(module):
            execute(module)
            module.HEARTBEAT_LIVENESS = SILENT_S

        spec.loader.exec_module = execute_and_set
        return spec


sys.meta_path.insert(0, RunnersFinder())
