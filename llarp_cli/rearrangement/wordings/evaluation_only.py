"""The wordings of families that are never trained on."""

from __future__ import annotations

from llarp_cli.rearrangement.wordings.wording import Wording, sentences

EVALUATION_ONLY: dict[str, tuple[Wording, ...]] = {
    "refer": sentences(
        "Bring the {look} to the {target}.",
        "Put the {look} {on target}, please.",
        "Somewhere in the home there is {a look}; carry it to the {target}.",
        "I cannot think of its name, but I need the {look} {on target}.",
        "Look around for {a look}, and leave it {on target}.",
        "What is it called again, the {look}? I would like to have it {on target}.",
        "Could you get the {look}, please, and set it down {on target}?",
        "The {target} is where the {look} should be.",
        "You know the one I mean, the {look}: it goes {onto target}.",
        "Please fetch {a look} and place it {on target}.",
    ),
    "spatial": sentences(
        "Move the {object} from the {source} to the {place}.",
        "Take the {object} {off source} and put {it object} {on place}.",
        "The {object} {on source} should be {on place}.",
        "Please carry the {object} {on source} to the {place}.",
        "Would you bring the {object} over from the {source} to the {place}?",
        "Pick up the {object} {on source} and go to the {place}: that is where I need {it object}.",
        "I left the {object} {on source}. Please lay {it object} {on place}.",
        "Do you see the {object} {on source}? Instead, I want {it object} {on place}.",
        "Get the {object} from the {source}, look for the {place}, and drop {it object} there.",
        "Go to the {source}, fetch the {object} and set {it object} down {on place}.",
        "From the {source}, the {object} must go {onto place}.",
    ),
    "three_objects": sentences(
        "Bring the {object1} to the {target1}, the {object2} to the {target2} and the {object3} to the {target3}.",
        "I have three errands for you: the {object1} must go {onto target1}, the {object2} {onto target2} and the "
        "{object3} {onto target3}.",
        "Find {a object1}, {a object2} and {a object3}, and put them {on target1}, {on target2} and {on target3} "
        "respectively.",
        "Put the {object1} {on target1}. Once that is done, put the {object2} {on target2}, and last of all the "
        "{object3} {on target3}.",
        "Could you leave the {object1} {on target1}, the {object2} {on target2} and the {object3} {on target3}?",
        "When I come home tonight, I want to see the {object1} {on target1}, the {object2} {on target2} and the "
        "{object3} {on target3}.",
        "There are three things to do: the {target1} needs the {object1}, the {target2} needs the {object2}, and the "
        "{target3} needs the {object3}.",
        "Move the {object1} from the {source1} to the {target1}, the {object2} from the {source2} to the {target2}, "
        "and the {object3} from the {source3} to the {target3}.",
        "Three things are out of place: the {object1} {on source1} should be {on target1}, the {object2} {on source2} "
        "should be {on target2}, and the {object3} {on source3} should be {on target3}.",
        "Start with the {object1} {on source1}: I need {it object1} {on target1}. Next, carry the {object2} from the "
        "{source2} to the {target2}, and finally the {object3} from the {source3} to the {target3}.",
        "Here is what goes where. From the {source1} to the {target1}: the {object1}. From the {source2} to the "
        "{target2}: the {object2}. From the {source3} to the {target3}: the {object3}.",
        "Would you take the {object1} {on source1} to the {target1}, then the {object2} {on source2} to the {target2}, "
        "and in the end the {object3} {on source3} to the {target3}?",
        "Put everything in its place: the {object1} from the {source1} {onto target1}, the {object2} from the "
        "{source2} {onto target2}, the {object3} from the {source3} {onto target3}.",
    ),
    "all_of_kind": sentences(
        "Put every {count object} {on target}.",
        "Bring all the {plural object} you can find to the {target}.",
        "Collect all {plural object} in the home and leave them {on target}.",
        "I want each {count object} in this home to be {on target}.",
        "No {count object} may lie anywhere but {on target}.",
        "Gather the {plural object}, every single one, {on target}.",
        "Could you look through all the rooms and take any {count object} you come across to the {target}?",
        "The {target} is where all {plural object} belong, so carry each of them there.",
        "However many {plural object} there are, all of them go {onto target}.",
        "Search high and low for {plural object}; I need every last one of them {on target}.",
        "Keep going until there is no {count object} left that is not {on target}.",
        "There are {plural object} lying about the home. Please move the whole lot to the {target}.",
        "One after the other, carry the {plural object} to the {target} until they are all there.",
    ),
    "all_from": sentences(
        "Move every {count object} from the {source} to the {target}.",
        "Take all the {plural object} {off source} and put them {on target}.",
        "Each {count object} {on source} should be {on target}.",
        "Clear the {source} of {plural object}: all of them go {onto target}.",
        "Would you carry the {plural object} {on source}, one by one, over to the {target}?",
        "I do not want a single {count object} left {on source}; bring them all to the {target}.",
        "Whatever {plural object} you see {on source}, set them down {on target}.",
        "Transfer the whole lot of {plural object} from the {source} to the {target}.",
        "Keep going back to the {source} until every {count object} there has been brought to the {target}.",
        "The {plural object} {on source} are in my way, all of them; the {target} has room for them.",
        "From the {source}, fetch {a object}, then the next, until all of the {plural object} are {on target}.",
        "Rid the {source} of every {count object} and leave what you collect {on target}.",
    ),
    "if_fridge": sentences(
        "If the fridge is open, put the {object1} {on target}; if it is closed, put the {object2} there. Leave the "
        "other one where it is.",
        "Look at the fridge. If it is open, bring the {object1} to the {target}, and if it is closed, the {object2}. "
        "Only one of the two is to be moved.",
        "Take the {object1} to the {target} if the fridge stands open; otherwise take the {object2}. Whichever it is, "
        "the other stays put.",
        "Should the fridge be closed, move the {object2} to the {target}; should it be open, move the {object1} there. "
        "Do not touch the other.",
        "The {target} gets the {object1} when the fridge is open and the {object2} when it is closed, never both.",
        "I need one thing {on target}: the {object1} in case the fridge is open, the {object2} in case it is closed. "
        "The other must not be moved.",
        "Is the fridge open? Then carry the {object1} to the {target}. Is it closed? Then carry the {object2} there. "
        "The one left over stays where it is.",
        "Depending on whether the fridge is open or closed, place the {object1} or the {object2} {on target}, "
        "respectively, and let the other one be.",
        "Check the fridge door: if it is open, move the {object1} {onto target} and not the {object2}; if it is "
        "closed, do it the other way round.",
        "Put the {object2} {on target}, and leave the {object1} alone, unless the fridge is open: then put the "
        "{object1} {on target} and leave the {object2} alone.",
        "With the fridge open, it is the {object1} that I want {on target}. With the fridge closed, it is the "
        "{object2}. Keep the other in its place.",
        "Please fetch the {object1} for the {target} provided that the fridge is open. If somebody has closed it, "
        "fetch the {object2} instead; never move both.",
    ),
}
"""Family → wordings."""
