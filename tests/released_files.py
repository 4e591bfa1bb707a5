"""Episode files in the form of the reference release, made up: objects, sentences and homes are the tests' own."""

import math
import pickle

import numpy as np

from llarp_cli.home.scenes import AREAS
from llarp_cli.rearrangement.released.tasks import RECEPTACLE_IDS
from llarp_cli.rearrangement.vocabulary import ASSETS, CATEGORY_OF, SURFACES

ID_OF = {name: entity for entity, name in RECEPTACLE_IDS.items()}
KITCHEN = ("sink", "right counter", "left counter")

HOME = {
    "counter": (4.1, -2.3, 180.0),
    "black table": (-1.2, 3.4, 0.0),
    "brown table": (2.9, 4.1, 90.0),
    "TV stand": (-2.6, -0.4, 90.0),
    "sofa": (0.6, 1.0, 34.0),
}
"""Where furniture stands in a house of no release: x, z in metres and the heading of the local x axis in degrees."""


def on_surface(home, surface, u, v):
    """A point of a surface (in units of its half extents) in the home, metres."""
    x, z, heading = home["counter" if surface in KITCHEN else surface]
    area = AREAS[surface]
    along = (area.x if surface in KITCHEN else 0) + u * area.half_x
    across = v * area.half_z
    cos, sin = math.cos(math.radians(heading)), math.sin(math.radians(heading))
    return x + (cos * along - sin * across) / 1000, z + (sin * along + cos * across) / 1000


def goal_exists(inputs, *terms, connective="AND", quantifier="EXISTS"):
    return {
        "expr_type": connective,
        "quantifier": quantifier,
        "inputs": [{"name": name, "expr_type": category} for name, category in inputs],
        "sub_exprs": list(terms),
    }


def brought(category, target, **options):
    return goal_exists([("X", category)], f"on_top(X, {ID_OF[target]})", "not_holding()", **options)


def episode(instruct_id, instruction, goal, *, where=None, entities=None, start=(), scene="v3_sc9_staging_00", more=()):
    """What one episode asks; `where` puts the first instance of a category on a surface, `more` are further assets."""
    return {
        "instruct_id": instruct_id,
        "instruction": instruction,
        "goal": goal,
        "where": where or {},
        "entities": entities or {},
        "start": list(start),
        "scene": scene,
        "more": list(more),
    }


def released(episodes, home=HOME, seed=0, surfaces=SURFACES):
    """A whole file's content, one object of every category in each episode, anywhere on the seven surfaces."""
    random = np.random.default_rng(seed)
    names, transforms, records = {}, [], []

    def number(text):
        return names.setdefault(text, len(names))

    for index, one in enumerate(episodes):
        assets = sorted([choices[0] for choices in ASSETS.values()] + one["more"])
        rigid, lying, seen, placed = [], [], {}, set()
        for asset in assets:
            category = CATEGORY_OF[asset]
            first = category not in placed
            placed.add(category)
            surface = one["where"].get(category) if first else None
            surface = surface or str(random.choice(surfaces))
            x, z = on_surface(home, surface, *random.uniform(-1, 1, 2))
            yaw = random.uniform(-math.pi, math.pi)
            pose = np.eye(4, dtype=np.float32)
            pose[0, 0] = pose[2, 2] = math.cos(yaw)
            pose[2, 0], pose[0, 2] = math.sin(yaw), -math.sin(yaw)
            pose[:3, 3] = x, AREAS[surface].y / 1000 + 0.03, z
            rigid.append((number(f"{asset}.object_config.json"), len(transforms)))
            transforms.append(pose)
            instance = f"{asset}_:{seen.get(asset, 0):04d}"
            seen[asset] = seen.get(asset, 0) + 1
            lying.append((number(instance), number(ID_OF[surface])))
        fridge, counter = number("fridge_:0000"), number("kitchen_counter_:0000")
        records.append(
            {
                "episode_id": str(index),
                "scene_id": f"data/replica_cad/configs/scenes/{one['scene']}.scene_instance.json",
                "start_position": [0, 0, 0],
                "start_rotation": [0, 0, 0, 1],
                "info": {"object_labels": {}},
                "ao_states": {fridge: {2: 0.0}, counter: {link: 0.0 for link in range(1, 8)}},
                "rigid_objs": np.array(rigid),
                "name_to_receptacle": np.array(lying[::-1]),
                "markers": [[number("fridge_push_point"), 0, np.array([0.1, -0.62, 0.2]), 0, fridge]],
                "targets": {},
                "instruction": one["instruction"],
                "instruct_id": one["instruct_id"],
                "sampled_entities": one["entities"],
                "start_preds": one["start"],
                "goal_preds": one["goal"],
                "sampler_info": {},
                "subgoals": [["holding(013_apple_:0000)"]],
            }
        )
    table = {index: text for text, index in names.items()}
    return {"all_transforms": np.stack(transforms), "idx_to_name": table, "all_eps": records}


def write(path, content, protocol=4):
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    return path
