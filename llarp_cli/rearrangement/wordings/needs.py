"""Needs that one category serves, in sentences that do not name it."""

from __future__ import annotations

from typing import NamedTuple


class Need(NamedTuple):
    """What somebody needs a category for.

    Attributes:
        instead: categories that would serve as well, so none of them may be in the home.
        sentences: with slots; each tells what is needed and where, and names no object.
    """

    instead: tuple[str, ...]
    sentences: tuple[str, ...]


NEEDS: dict[str, Need] = {
    "ball": Need(
        ("orange", "toy airplane"),
        (
            "The children want to kick something around in the garden. Leave it {on target}.",
            "We are off to the park for a game of catch; put the thing we need for it {on target}.",
            "My dog loves to chase what I throw and to bring it back. Could you lay something suitable {on target}?",
            "I want to practise throwing and bouncing, so bring something to practise with to the {target}.",
        ),
    ),
    "screwdriver": Need(
        ("drill", "knife"),
        (
            "A screw has come loose. Please leave what I need to tighten it {on target}.",
            "The hinge of that door wobbles because its screws are loose; bring the right tool to the {target}.",
            "I have to put together new shelves, and all I have is screws. Put the tool for them {on target}.",
            "Which tool turns a screw? I want it {on target}.",
        ),
    ),
    "scissors": Need(
        ("knife",),
        (
            "I want to cut paper stars for the window. Put what I need for that {on target}.",
            "This wrapping paper is too large for my present; leave something to trim it with {on target}.",
            "My fringe hangs in my eyes and wants cutting. Could you bring what the hairdresser uses to the {target}?",
            "There is a voucher in the newspaper that I would like to snip out, so lay the right tool {on target}.",
        ),
    ),
    "cleanser": Need(
        ("sponge",),
        (
            "Somebody spilled red wine, and it left a stain. Bring what will remove it to the {target}.",
            "The bathroom is full of germs and should be disinfected. Leave what I need {on target}.",
            "My old towels should be white again; please put what I have to pour on them {on target}.",
            "There is mould on the tiles, and water alone does not help. Set the stuff that kills it {on target}.",
        ),
    ),
    "mug": Need(
        ("cup", "bowl"),
        (
            "The coffee is ready and very hot. Put something with a handle to drink it from {on target}.",
            "I am about to make cocoa; leave something {on target} that I can hold without burning my fingers.",
            "My tea is still in the pot. Could you bring something to drink it from to the {target}?",
            "Nothing warms my hands like a hot drink. Set down {on target} what it should be served in.",
        ),
    ),
    "hammer": Need(
        ("wrench", "block"),
        (
            "I want to drive a nail into the wall. Please leave what I need for that {on target}.",
            "A nail sticks out of the floorboards; bring the tool that will knock it back in to the {target}.",
            "The birdhouse still has to be nailed together, so put the right tool {on target}.",
            "I have the nails and the picture, but nothing to hit them with. Lay what I am missing {on target}.",
        ),
    ),
    "drill": Need(
        (),
        (
            "I must make holes in the wall for some dowels. Put the right machine {on target}.",
            "The new shelf needs four deep holes in the concrete; bring what makes them to the {target}.",
            "A hole as wide as my finger has to go through this plank. Leave the power tool for it {on target}.",
            "To hang up the curtain rail I have to bore into masonry. Could you set what I need {on target}?",
        ),
    ),
    "book": Need(
        (),
        (
            "I would love to read for an hour. Leave something for me {on target}.",
            "It is time for a bedtime story; bring what I shall read from to the {target}.",
            "My train ride will be long, and I want something to read on it. Please put it {on target}.",
            "The evening is rainy and I feel like turning some pages. Lay something suitable {on target}.",
        ),
    ),
    "padlock": Need(
        (),
        (
            "The garden shed does not stay shut, and I am afraid of thieves. Put what will secure it {on target}.",
            "I want to chain up my bicycle. I have the chain and the key; leave what is still missing {on target}.",
            "My locker at the gym needs something that only I can undo; bring it to the {target}.",
            "The gate must be secured with a key tonight. Could you set what I need for that {on target}?",
        ),
    ),
    "spoon": Need(
        ("spatula", "knife"),
        (
            "The soup is served, but I have nothing to eat it with. Put what I need {on target}.",
            "I am going to have yoghurt; leave the right piece of cutlery {on target}.",
            "There is sugar at the bottom of my tea. Bring me something to stir it with to the {target}.",
            "The baby is to be fed her porridge. Could you lay what I feed her with {on target}?",
        ),
    ),
    "knife": Need(
        ("scissors",),
        (
            "I would like to slice the bread. Put what I need for that {on target}.",
            "The onions have to be chopped; bring what one chops them with to the {target}.",
            "There is a birthday cake to be cut into twelve pieces. Leave the right tool {on target}.",
            "This steak is tough, and a fork alone will not do. Could you lay what is missing {on target}?",
        ),
    ),
    "plate": Need(
        ("bowl", "lid"),
        (
            "Dinner is ready: fish and potatoes. Set what I can serve it on {on target}.",
            "I have made a sandwich and want to put it on something clean; leave that {on target}.",
            "One more guest is coming for the roast. Bring what the slices can be laid on to the {target}.",
            "My slice of pizza is dripping. Please put something flat to eat it from {on target}.",
        ),
    ),
    "sponge": Need(
        ("cleanser",),
        (
            "There are pans to be scrubbed. Leave what I scrub them with {on target}.",
            "I want to wash the dishes by hand; bring something soft and absorbent for it to the {target}.",
            "Milk has run all over the floor. Put something that soaks it up {on target}.",
            "I have suds for the car but nothing to rub it down with. Lay what I am missing {on target}.",
        ),
    ),
    "spatula": Need(
        ("knife", "spoon"),
        (
            "The pancakes must be flipped before they burn. Put what I need for that {on target}.",
            "I am frying eggs and want to lift them out of the pan in one piece; leave the right tool {on target}.",
            "The burgers in the pan are done on one side. Bring what I turn them over with to the {target}.",
            "Something broad and flat would help me get this omelette out of the pan. Could you lay it {on target}?",
        ),
    ),
    "bowl": Need(
        ("cup", "mug", "plate"),
        (
            "I am hungry for cereal with plenty of milk. Set what I shall eat it from {on target}.",
            "The soup is done; put what I should ladle it into {on target}.",
            "I want to toss a small salad. Leave something deep and round for it {on target}.",
            "The eggs have to be beaten with the flour. Bring something to mix them in to the {target}.",
        ),
    ),
    "cup": Need(
        ("mug", "bowl"),
        (
            "I am thirsty and would like some water. Put something to drink from {on target}.",
            "The juice is in the jug; leave what I should pour it into {on target}.",
            "My guest would like a drink. Bring something that one can pour it into to the {target}.",
            "It is time to take my pills with a sip of water. Could you set what I drink from {on target}?",
        ),
    ),
    "clamp": Need(
        ("wrench",),
        (
            "I have glued two boards and they must be pressed together while they dry. Put what I need {on target}.",
            "The plank slips while I saw. Bring what grips it to the edge of the workbench to the {target}.",
            "The broken chair leg is glued; leave something that squeezes it tight overnight {on target}.",
            "Something has to hold these two pieces of wood firmly, like a third hand. Please lay it {on target}.",
        ),
    ),
    "lego": Need(
        ("block",),
        (
            "My son's plastic castle needs one last piece that snaps on. Put one {on target}.",
            "My daughter builds spaceships by clicking small pieces together; bring her what she uses to the {target}.",
            "I collect little plastic pieces that one can build anything from. Would you add one more {on target}?",
            "The toy garage, all made of pieces that click together, is not finished. Lay what is missing {on target}.",
        ),
    ),
    "rubriks cube": Need(
        (),
        (
            "I am bored and in the mood for a puzzle that I can twist. Leave it {on target}.",
            "My niece can turn each side to a single colour in a minute. Put what she needs to prove it {on target}.",
            "I would like to do a brain-teaser with turning sides; bring one to the {target}.",
            "Something that keeps fingers and mind busy, with colours to be sorted by turning, should be {on target}.",
        ),
    ),
    "lemon": Need(
        ("orange",),
        (
            "The fish would taste better with a few sour drops. Put the fruit for that {on target}.",
            "I want to squeeze something sour into my tea; leave it {on target}.",
            "We are out of vinegar, so the salad needs the juice of a sour fruit. Bring one to the {target}.",
            "The recipe asks for some grated yellow peel. Could you lay what I grate it from {on target}?",
        ),
    ),
}
"""Category → the need that it serves."""
