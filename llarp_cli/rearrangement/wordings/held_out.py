"""The held-out wordings of the families that are trained on."""

from __future__ import annotations

from llarp_cli.rearrangement.wordings.wording import Wording, with_verbs

REPHRASED: dict[str, tuple[Wording, ...]] = {
    "move": with_verbs(
        ("shift", "Would you kindly shift the {object}, now {on source}, across to the {target}?"),
        ("transport", "Your job: transport the {object} away from the {source}, all the way to the {target}."),
        ("relocate", "Relocate the {object}, currently resting {on source}, with the {target} as the new spot."),
        ("deliver", "What I forgot {on source}, namely the {object}, please deliver to the {target}."),
        ("ought to end up", "My {object} ought to end up {on target}; right now you will see {it object} {on source}."),
        ("haul", "After visiting the {source}, haul the {object} you saw there to the {target}."),
    ),
    "fetch": with_verbs(
        ("hunt down", "Hunt down {a object} somewhere in the rooms and deposit {it object} {on target}."),
        ("deliver", "Kindly deliver {a object} straight to the {target}."),
        ("track down", "Would you track down the {object}? I will be waiting for {it object} at the {target}."),
        ("supply", "Supply the {target} with {a object}."),
        ("make sure", "Make sure that the {target} ends up with {a object}."),
        ("retrieve", "Retrieve the {object}, and have {it object} end up {on target}."),
    ),
    "put_away": with_verbs(
        ("banish", "Banish the {object} to anywhere but the {source}."),
        ("shift", "Would you shift the {object}, wherever you like, so that the {source} no longer holds {it object}?"),
        ("stash", "The {source} is no spot for {a object}, so stash {it object} in a better one."),
        ("relocate", "Relocate the {object}; anything will do except the {source}."),
        ("rid", "Kindly rid the {source} of the {object}."),
        ("would look nicer", "The {source} would look nicer with the {object} gone."),
    ),
    "two_objects": with_verbs(
        ("deliver", "Deliver to the {target} two things: {a object1} plus {a object2}."),
        ("round up", "Round up {a object1}, then {a object2}, and deposit the pair {on target}."),
        ("assemble", "The {target} is where you are to assemble these: the {object1}, the {object2}."),
        ("keep company", "{on target}, the {object1} ought to keep company with the {object2}."),
        ("make sure", "Make sure that the {target} ends up with {a object1} plus {a object2}."),
        ("stock", "Stock the {target} with {a object1} as well as {a object2}."),
    ),
    "swap": with_verbs(
        (
            "interchanged",
            "Two things are to be interchanged, one {on source1}, namely the {object1}, and one {on source2}, "
            "namely the {object2}.",
        ),
        ("transpose", "Kindly transpose {a object1}, found {on source1}, with {a object2}, found {on source2}."),
        (
            "change",
            "Do you see {a object1} {on source1}? Change {it object1} round with the {object2} you see {on source2}.",
        ),
        (
            "ought to sit",
            "The {object1} ought to sit {on source2} rather than {on source1}, while for the {object2} the opposite "
            "holds.",
        ),
        (
            "deliver",
            "Deliver the {object1} that the {source1} holds to the {source2}, whose {object2} you deliver the other "
            "way.",
        ),
        (
            "end up",
            "The {source2} must end up with {a object1}, which the {source1} has now, and the {source1} with "
            "{a object2} in return.",
        ),
        ("reverse", "Reverse the roles: the {source1} gets the {object2}, while the {source2} gets the {object1}."),
    ),
    "open_fridge": with_verbs(
        ("swing", "Swing the fridge door wide."),
        ("unseal", "Unseal the fridge so that the cold comes out."),
        ("look inside", "Let me look inside the fridge; its door is in the way."),
        ("must not stay shut", "The fridge must not stay shut."),
        ("reveal", "Reveal the shelves behind the fridge door."),
        ("give access", "Kindly give access to what is kept in the fridge."),
        ("be flung wide", "The door of that fridge is to be flung wide."),
    ),
    "close_fridge": with_verbs(
        ("shut", "Shut the fridge."),
        ("seal", "Seal the fridge up again."),
        ("keep in", "Somebody must keep in the cold, so shut that fridge door."),
        ("stop", "Stop the cold air from escaping the fridge."),
        ("slam", "Slam the fridge door."),
        ("fasten", "Kindly fasten the door on that fridge."),
    ),
    "go_to": with_verbs(
        ("make your way", "Make your way across the room, as far as the {target}."),
        ("proceed", "Proceed directly to the {target}."),
        ("station yourself", "Station yourself by the {target}."),
        ("travel", "Would you travel across the home to the {target}?"),
        ("meet", "Meet me by the {target}."),
        ("report", "Report to the {target} at once."),
        ("visit", "Visit the {target} next."),
    ),
    "find": with_verbs(
        ("track down", "Track down {a object}; do no more than that."),
        ("hunt for", "Hunt for the {object} in every corner, then remain with {it object}."),
        ("seek out", "Seek out {a object}, leaving {it object} untouched."),
        ("scout", "Scout the rooms for {a object}, and halt as soon as you are close to {it object}."),
        ("lead", "Lead me to the {object}."),
        ("discover", "Discover the whereabouts of the {object} and halt there."),
        ("position yourself", "Position yourself near the {object}."),
    ),
}
"""Family → held-out wordings of the families trained on."""
