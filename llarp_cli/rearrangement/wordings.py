"""The sentences, our own: per family the training wordings and the held-out ones.

Each is (main verb phrase, sentence). A held-out sentence shares neither its main verb phrase nor a run of
five words (a slot counts as one) with any training sentence of its family. Slots are filled as follows,
for an apple and for scissors, for a sofa and for a sink:

    {object}     apple, scissors
    {a object}   an apple, a pair of scissors
    {it object}  it, them
    {target}     sofa, sink
    {on target}  on the sofa, in the sink
    {onto target} onto the sofa, into the sink
    {off target} off the sofa, out of the sink
"""

from __future__ import annotations

from typing import NamedTuple


class Wording(NamedTuple):
    """One way to say it.

    Attributes:
        verb: its main verb phrase, word for word.
        sentence: with slots.
    """

    verb: str
    sentence: str


def _wordings(*pairs: tuple[str, str]) -> tuple[Wording, ...]:
    return tuple(Wording(*pair) for pair in pairs)


TRAIN: dict[str, tuple[Wording, ...]] = {
    "move": _wordings(
        ("move", "Move the {object} from the {source} to the {target}."),
        ("take", "Take the {object} {off source} and put {it object} {on target}."),
        ("put", "Put the {object} lying {on source} {onto target}."),
        ("carry", "Please carry the {object} from the {source} over to the {target}."),
        ("bring", "Could you bring the {object} over from the {source} to the {target}?"),
        ("transfer", "Transfer the {object} {on source} to the {target}."),
        ("pick up", "Pick up the {object} {on source}, then place {it object} {on target}."),
        ("grab", "Grab the {object} from the {source} and leave {it object} {on target}."),
        ("set down", "There should be {a object} {on source}; find {it object} and set down {it object} {on target}."),
        ("get", "Get the {object} {off source} and drop {it object} {on target}."),
        ("would like", "I would like the {object} {on source} to be {on target} instead."),
        ("collect", "Go to the {source}, collect the {object} and place {it object} {on target}."),
        ("lift", "Lift the {object} {off source} and lay {it object} {on target}."),
        ("should go", "The {object} {on source} should go {onto target}."),
        ("need", "Somebody left the {object} {on source}, but I need {it object} {on target}."),
        ("go and take", "From the {source}, go and take the {object} to the {target}."),
    ),
    "fetch": _wordings(
        ("bring", "Bring the {object} to the {target}."),
        ("put", "Put {a object} {on target}."),
        ("find", "Find the {object} and put {it object} {on target}."),
        ("fetch", "Fetch {a object} and place {it object} {on target}."),
        ("place", "Place the {object} {on target}, please."),
        ("need", "I need the {object} {on target}."),
        ("look for", "Look for {a object} and leave {it object} {on target}."),
        ("get", "Can you get the {object} and put {it object} {on target}?"),
        ("should be", "There should be {a object} {on target}."),
        ("search", "Search the home for {a object} and take {it object} to the {target}."),
        ("locate", "Locate the {object}, then carry {it object} to the {target}."),
        ("want", "I want to see the {object} {on target}."),
        ("move", "Move the {object} to the {target}, wherever you find {it object}."),
        ("is missing", "The {target} is missing {a object}."),
        ("lay", "Please lay the {object} {on target}."),
        ("go get", "Go get {a object} for the {target}."),
    ),
    "put_away": _wordings(
        ("take", "Take the {object} {off source}."),
        ("remove", "Remove the {object} from the {source}."),
        ("clear", "Clear the {object} {off source}, please."),
        ("put", "Put the {object} {on source} somewhere else."),
        ("get", "Get the {object} {off source} and put {it object} anywhere else."),
        ("move", "Move the {object} away from the {source}."),
        ("do not want", "I do not want the {object} {on source} any more."),
        ("should not be", "The {object} should not be {on source}."),
        ("find another place", "Find another place for the {object} {on source}."),
        ("pick up", "Pick up the {object} {on source} and leave {it object} on a different surface."),
        ("carry", "Could you carry the {object} from the {source} to some other place?"),
        ("tidy up", "Tidy up the {source}: the {object} must go."),
        ("free", "Free the {source} by taking the {object} elsewhere."),
        ("need the space", "I need the space {on source}, so take the {object} away."),
        ("set", "Set the {object} from the {source} down on any other surface."),
    ),
    "two_objects": _wordings(
        ("put", "Put the {object1} and the {object2} {on target}."),
        ("bring", "Bring the {object1} and the {object2} to the {target}."),
        ("move", "Move both the {object1} and the {object2} to the {target}."),
        ("place", "Place {a object1} and {a object2} {on target}."),
        ("find", "Find the {object1} and the {object2}, then leave both {on target}."),
        ("need", "I need the {object1} and also the {object2} {on target}."),
        ("collect", "Collect the {object1} as well as the {object2} and take them to the {target}."),
        ("carry", "Carry the {object1} to the {target}, then carry the {object2} there too."),
        ("fetch", "Fetch {a object1} and {a object2} and set them down {on target}."),
        ("should be", "Both the {object1} and the {object2} should be {on target}."),
        ("gather", "Please gather the {object1} and the {object2} {on target}."),
        ("get", "Could you get the {object1} and the {object2}? Leave them {on target}."),
        ("want", "{on target} I want {a object1} and {a object2}."),
        ("look for", "Look for the {object1} and the {object2}; both go {on target}."),
        ("lay", "Lay {a object1} {on target} and add {a object2}."),
    ),
}
"""Family → training wordings."""

HELD_OUT: dict[str, tuple[Wording, ...]] = {
    "move": _wordings(
        ("shift", "Would you kindly shift the {object}, now {on source}, across to the {target}?"),
        ("transport", "Your job: transport the {object} away from the {source}, all the way to the {target}."),
        ("relocate", "Relocate the {object}, currently resting {on source}, with the {target} as the new spot."),
        ("deliver", "What I forgot {on source}, namely the {object}, please deliver to the {target}."),
        ("ought to end up", "My {object} ought to end up {on target}; right now you will see {it object} {on source}."),
        ("haul", "After visiting the {source}, haul the {object} you saw there to the {target}."),
    ),
    "fetch": _wordings(
        ("hunt down", "Hunt down {a object} somewhere in the rooms and deposit {it object} {on target}."),
        ("deliver", "Kindly deliver {a object} straight to the {target}."),
        ("track down", "Would you track down the {object}? I will be waiting for {it object} at the {target}."),
        ("supply", "Supply the {target} with {a object}."),
        ("make sure", "Make sure that the {target} ends up with {a object}."),
        ("retrieve", "Retrieve the {object}, and have {it object} end up {on target}."),
    ),
    "put_away": _wordings(
        ("banish", "Banish the {object} to anywhere but the {source}."),
        ("shift", "Would you shift the {object}, wherever you like, so that the {source} no longer holds {it object}?"),
        ("stash", "The {source} is no spot for {a object}, so stash {it object} in a better one."),
        ("relocate", "Relocate the {object}; anything will do except the {source}."),
        ("rid", "Kindly rid the {source} of the {object}."),
        ("would look nicer", "The {source} would look nicer with the {object} gone."),
    ),
    "two_objects": _wordings(
        ("deliver", "Deliver to the {target} two things: {a object1} plus {a object2}."),
        ("round up", "Round up {a object1}, then {a object2}, and deposit the pair {on target}."),
        ("assemble", "The {target} is where you are to assemble these: the {object1}, the {object2}."),
        ("keep company", "{on target}, the {object1} ought to keep company with the {object2}."),
        ("make sure", "Make sure that the {target} ends up with {a object1} plus {a object2}."),
        ("stock", "Stock the {target} with {a object1} as well as {a object2}."),
    ),
}
"""Family → held-out wordings."""

SYNONYMS: dict[str, tuple[str, ...]] = {
    "black table": ("ebony table", "jet-black desk"),
    "brown table": ("wooden table", "chestnut desk"),
    "TV stand": ("television unit", "media console"),
    "sink": ("basin", "washbowl"),
    "right counter": ("right-hand worktop", "countertop on the right"),
    "left counter": ("left-hand worktop", "countertop on the left"),
    "sofa": ("couch", "settee"),
}
"""Surface → names never used in training."""
