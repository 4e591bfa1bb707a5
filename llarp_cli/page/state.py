"""What the page shows of a session, as JSON."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from llarp_cli.evaluation.session import Asked, Session, Used
from llarp_cli.evaluation.video import CAMERAS
from llarp_cli.rearrangement.searcher import SEEN_PIXELS
from llarp_cli.rearrangement.simulator import World
from llarp_cli.rearrangement.skills import SKILLS

LIKELIEST = 10
"""Skills that are shown with their probabilities."""

TRAINING_HOMES = 20
"""Training homes that are offered by name; others can be had too, with `--home`."""


def homes(world: World) -> dict[str, list[str]]:
    """The homes to choose from: never trained in, and of training."""
    return {
        "never trained in": list(world.test_scenes()),
        "of training": [world.train_scene(index) for index in range(TRAINING_HOMES)],
    }


def state(session: Session, size: int) -> dict[str, Any]:
    """Everything on the page.

    Args:
        size: side of the pictures, pixels.
    """
    return {
        "home": session.home,
        "asked": session.instruction,
        "note": session.note,
        "goal": session.goal,
        "judged": session.judged,
        "reached": session.judged and session.reached,
        "holding": session.holding,
        "standing_at": session.standing_at,
        "opened": session.opened,
        "in_view": _in_view(session),
        "policy": _policy(session),
        "skills": _skills(session),
        "events": [_event(event) for event in session.events],
        "pictures": {camera: _as_url(session.picture(camera, size)) for camera in CAMERAS},
    }


def _policy(session: Session) -> dict[str, Any] | None:
    """The policy and what it would do; None without one."""
    if session.adviser is None:
        return None
    advice = session.advice
    return {
        "name": session.adviser.name,
        "trial": session.trial,
        "steps": session.adviser.steps,
        "ending": session.ending(),
        "value": None if advice is None else advice.value,
        "likeliest": [] if advice is None else advice.likeliest(LIKELIEST),
        "asked": advice is not None,
    }


def _skills(session: Session) -> list[dict[str, str]]:
    return [
        {"name": str(skill), "kind": skill.kind, "target": skill.target, "why_not": session.why_not(action)}
        for action, skill in enumerate(SKILLS)
    ]


def _in_view(session: Session) -> list[dict[str, Any]]:
    least = SEEN_PIXELS * (session.image_size / 128) ** 2
    return [
        {"name": thing.category, "in_reach": thing.in_reach}
        for thing in session.things()
        if thing.pixels >= least and thing.place != "the hand"
    ]


def _event(event: Used | Asked) -> dict[str, Any]:
    if isinstance(event, Asked):
        return {"asked": event.episode.instruction, "note": event.note}
    return {
        "number": event.number,
        "skill": str(event),
        "probability": event.probability,
        "reason": event.reason,
        "reward": event.reward,
        "reached": event.reached,
    }


def _as_url(picture: NDArray[np.uint8]) -> str:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, format="PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
