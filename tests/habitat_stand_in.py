"""AN EMPTY STAND-IN for habitat_sim and magnum, so that habitat-lab can be imported where they are missing.

Whatever is asked of it is there and does nothing. It is not habitat-sim, and nothing is learned of it.
"""

import abc
import importlib.util
import types
from unittest import mock


class Kind(abc.ABCMeta):
    """A class that has every attribute."""

    def __getattr__(cls, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return mock.MagicMock(name=name)


class Thing(metaclass=Kind):
    """What classes make: it takes every argument, and has every attribute."""

    def __init__(self, *args, **kwargs):
        pass

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return mock.MagicMock(name=name)


class Anything(types.ModuleType):
    """A module that has every name: classes begin with a capital, the rest are mocks."""

    __path__ = ()

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        found = Kind(name, (Thing,), {}) if name[0].isupper() else mock.MagicMock(name=name)
        setattr(self, name, found)
        return found


class StandIn:
    """Finds packages of these names when nothing else does."""

    def __init__(self, *names):
        self.names = names

    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in self.names:
            return importlib.util.spec_from_loader(name, self)
        return None

    def create_module(self, spec):
        return Anything(spec.name)

    def exec_module(self, module):
        """There is nothing to execute."""
