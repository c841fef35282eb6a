"""How long tests wait for what happens soon on most machines."""

PATIENCE_S = 900
"""The seconds that a test waits at most for what happens within one on most machines."""
