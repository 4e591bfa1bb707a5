"""What was measured, as a table."""

from __future__ import annotations

from typing import Any

LAYOUTS = ("ours", "reference", "recompute")
ROWS = (
    ("environment steps/s", "environment_steps_per_second", "{:,.0f}"),
    ("  per core", "environment_steps_per_core_second", "{:,.0f}"),
    ("steps learned from/s", "used_steps_per_second", "{:,.0f}"),
    ("  per core", "used_steps_per_core_second", "{:,.0f}"),
    ("steps", "environment_steps", "{:,.0f}"),
    ("steps learned from", "used_steps", "{:,.0f}"),
    ("seconds", "seconds", "{:.3f}"),
    ("core seconds", "core_seconds", "{:.3f}"),
    ("  cache made anew", "rebuild_seconds", "{:.3f}"),
    ("LLM operations", "operations", "{:.3g}"),
    ("utilisation", "utilisation", "{:.1%}"),
    ("peak memory, MiB", "peak_memory_mib", "{:,.0f}"),
    ("checkpoint, MiB", "checkpoint_mib", "{:,.1f}"),
)
LEARNING = ("used_steps", "used_steps_per_second", "used_steps_per_core_second")


def as_table(told: dict[str, Any]) -> str:
    """The figures of each layout side by side, the shares of time, and the ratios."""
    shown = [name for name in LAYOUTS if name in told]
    rows = []
    for label, key, form in ROWS:
        if key not in told[shown[0]] or (told["measured"] == "rollout" and key in LEARNING):
            continue
        rows.append((label, *(form.format(told[name][key]) if key in told[name] else "-" for name in shown)))
    rows.append(("share of time", *("" for _ in shown)))
    for part in told[shown[0]]["share"]:
        shares = [told[name]["share"][part] for name in shown]
        if any(share >= 0.0005 for share in shares):
            rows.append((f"  {part}", *(f"{share:.1%}" for share in shares)))
    lines = [_heading(told), "", _aligned(rows, (told["measured"], *shown))]
    for other, suffix in (("reference", ""), ("recompute", "_recompute")):
        if "ratio" + suffix in told:
            lines.append(
                f"ratio, {other} / ours: {told['ratio' + suffix]:.2f} by the clock, "
                f"{told['ratio_core' + suffix]:.2f} in core seconds"
            )
        if "ratio_acting" + suffix in told:
            lines.append(
                f"  with the cache kept: {told['ratio_acting' + suffix]:.2f} by the clock, "
                f"{told['ratio_core_acting' + suffix]:.2f} in core seconds"
            )
    return "\n".join(lines)


def _heading(told: dict[str, Any]) -> str:
    load, where = told["workload"], told["machine"]
    return "\n".join(
        [
            f"backbone   {load['backbone']}: {told['backbone_parameters']:,} parameters, {told['dtype']}; "
            f"{told['trained_parameters']:,} trained",
            f"work       {load['num_envs']} environments ({load['environment']}) x {load['rollout_steps']} steps, "
            f"{load['epochs']} epochs of {load['minibatches']} minibatches",
            f"machine    {where['processor']}, {where['cores']} cores, {load['threads']} threads; {where['device']}; "
            f"load {where['load']} before",
        ]
    )


def _aligned(rows: list[tuple[str, ...]], header: tuple[str, ...]) -> str:
    """Names to the left, figures to the right."""
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    lines = []
    for name, *cells in [header, *rows]:
        figures = (cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True))
        lines.append("  ".join([name.ljust(widths[0]), *figures]).rstrip())
    return "\n".join(lines)
