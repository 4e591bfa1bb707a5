"""What `llarp dataset` does: write episodes, ship the fixed ones, tell what is in them, and check them."""

from llarp_cli.dataset.generate import generate_file
from llarp_cli.dataset.ship import HASHES, SHIPPED, ship

__all__ = ["HASHES", "SHIPPED", "generate_file", "ship"]
