"""The users, one module for each thing that they speak; each user checks every answer it gets."""

from loadtests.load.users.bad import BadClient
from loadtests.load.users.data_set import DataSetBuilder
from loadtests.load.users.images import CacheHitter, Integrator, SingleImage
from loadtests.load.users.inference import OIPClient, TFServingClient
from loadtests.load.users.page import PageVisitor

__all__ = [
    "BadClient",
    "CacheHitter",
    "DataSetBuilder",
    "Integrator",
    "OIPClient",
    "PageVisitor",
    "SingleImage",
    "TFServingClient",
]
