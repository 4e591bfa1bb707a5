"""Which GPUs a process has where each has several: a frozen model that one does not hold is spread over them."""

from __future__ import annotations

import os

import torch

from llarp_cli.errors import UsageProblem


def share_devices() -> None:
    """Leave this process its own share of the machine's GPUs: of N processes, the r-th has the r-th N-th of them.

    The others are hidden from it, so that whatever spreads a model over all GPUs that there are takes its own. To be
    called before anything else asks for a GPU: what a program has seen by then, it goes on seeing.

    Raises:
        UsageProblem: there are fewer GPUs than processes.
    """
    process, processes = (int(os.environ.get(f"LOCAL_{name}", d)) for name, d in (("RANK", "0"), ("WORLD_SIZE", "1")))
    count = torch.cuda.device_count()
    if processes == 1 or count == 0:
        return
    if count < processes:
        raise UsageProblem(
            f"backbone.device_map with {processes} processes on a machine with {count} GPU{'s' * (count > 1)}",
            f"at most one process for each: --num-processes {count}",
        )
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = [str(index) for index in range(count)] if visible is None else visible.split(",")[:count]
    os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(
        names[process * count // processes : (process + 1) * count // processes]
    )
    os.environ["LOCAL_RANK"] = "0"  # by which accelerate and NCCL choose among those that are visible
