"""LLaRP: frozen language models that see and act.

Importing this package imports neither torch nor transformers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["__version__", "load_policy", "make_env"]

if TYPE_CHECKING:
    from llarp_cli.environments.single import make_env
    from llarp_cli.export import load_policy


def __getattr__(name: str) -> Any:
    if name == "load_policy":
        from llarp_cli.export import load_policy

        return load_policy
    if name == "make_env":
        from llarp_cli.environments.single import make_env

        return make_env
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
