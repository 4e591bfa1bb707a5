"""How much memory a computation takes: of the tensors it makes, on whichever device."""

from __future__ import annotations

import weakref
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter


class TensorMemory(TorchDispatchMode):
    """Counts bytes of the tensors made while it is entered, in passes backward too. Slow: for short rehearsals.

    Attributes:
        now: of those that are still there.
        peak: the most at once.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = 0
        self.peak = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, function: Any, types: Any, arguments: Any = (), named: Any = None) -> Any:
        # What was there before is known by being given, and what is made in place is a storage given.
        for given in (*tree_iter(arguments), *tree_iter(named or {})):
            if isinstance(given, Tensor):
                self._know(given, new=False)
        result = function(*arguments, **(named or {}))
        for made in tree_iter(result):
            if isinstance(made, Tensor):
                self._know(made, new=True)
        return result

    def _know(self, tensor: Tensor, new: bool) -> None:
        if tensor.is_mkldnn:  # weights laid out, which are there before and after
            return
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self._known:
            return
        size = storage.nbytes() if new else 0
        self._known.add(key)
        weakref.finalize(storage, self._forget, key, size)
        self.now += size
        self.peak = max(self.peak, self.now)

    def _forget(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.now -= size
