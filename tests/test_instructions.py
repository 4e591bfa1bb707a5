import colorsys
import itertools
import re

import pytest

from llarp_cli.errors import UsageProblem
from llarp_cli.home.primitives import BLUE, RED
from llarp_cli.home.shapes import ASSET_SHAPES
from llarp_cli.rearrangement.draws import Draws
from llarp_cli.rearrangement.instructions import (
    NOUNS,
    SLOT,
    fill,
    instruction,
    slots_of,
    with_article,
)
from llarp_cli.rearrangement.relations import RELATIONS
from llarp_cli.rearrangement.vocabulary import ASSETS, CATEGORIES, HELD_OUT_CATEGORIES, JOINTS, RECEPTACLES, SURFACES
from llarp_cli.rearrangement.wordings import HELD_OUT, LOOKS, NEEDS, SYNONYMS, TRAIN

SLOTS = {
    "move": "object source target",
    "fetch": "object target",
    "put_away": "object source",
    "two_objects": "object1 object2 target",
    "swap": "object1 source1 object2 source2",
    "open_fridge": "",
    "close_fridge": "",
    "go_to": "target",
    "find": "object",
    "refer": "object target",
    "distraction": "object target other",
    "spatial": "object source target",
    "three_objects": "object1 target1 object2 target2 object3 target3",
    "all_of_kind": "object target",
    "all_from": "object source target",
    "if_fridge": "object1 object2 target",
}
SOURCES_TOLD = "object1 source1 target1 object2 source2 target2 object3 source3 target3"
TRAINED = list(SLOTS)[:9]
ALL = [(family, wording) for table in (TRAIN, HELD_OUT) for family in table for wording in table[family]]

OTHER_NAMES = {
    "knife": "knives cutter",
    "scissors": "shears snips scissor",
    "cleanser": "cleaner bleach detergent",
    "padlock": "lock",
    "drill": "driller",
    "spatula": "turner flipper",
    "spoon": "ladle",
    "plate": "dish platter",
    "sponge": "spongy",
    "hammer": "mallet",
    "lego": "brick bricks duplo",
    "rubriks cube": "cube rubik's rubriks",
    "book": "novel volume",
    "mug": "cup",
    "cup": "mug beaker glass",
    "bowl": "basin",
    "clamp": "vice",
    "screwdriver": "driver",
    "ball": "football",
}
"""Category → further words that would name it."""

# Hue in degrees, saturation and value, lower and upper bounds; a hue range may run past 360.
COLOUR_WORDS = {
    "red": ((335, 372), (0.6, 1), (0.35, 1)),
    "pink": ((325, 375), (0.2, 0.7), (0.8, 1)),
    "orange": ((10, 40), (0.7, 1), (0.8, 1)),
    "yellow": ((38, 68), (0.5, 1), (0.7, 1)),
    "green": ((62, 165), (0.5, 1), (0.35, 1)),
    "blue": ((195, 245), (0.5, 1), (0.5, 1)),
    "purple": ((265, 310), (0.5, 1), (0.25, 1)),
    "brown": ((10, 40), (0.3, 1), (0.2, 0.6)),
    "black": ((0, 360), (0, 0.35), (0, 0.2)),
    "white": ((0, 360), (0, 0.15), (0.85, 1)),
    "grey": ((0, 360), (0, 0.25), (0.25, 0.65)),
    "silver": ((0, 360), (0, 0.2), (0.6, 0.95)),
    "brass": ((30, 50), (0.5, 1), (0.6, 1)),
}
COLOURS_LIKE = {
    "violet": "purple",
    "rosy": "pink",
    "golden": "brass",
    "gold": "brass",
    "yellowish": "yellow",
    "salmon": "pink",
    "steel": "silver",
}


def words(text):
    return re.findall(r"[\w']+", text.lower())


def spellings(sentence):
    """A sentence as two word lists, with "on" and with "in" before places; a slot is a word."""
    found = []
    for prepositions in ({"on": "on", "onto": "onto", "off": "off"}, {"on": "in", "onto": "into", "off": "out of"}):

        def word(slot, prepositions=prepositions):
            form, name = slot[1], re.sub(r"\d", "", slot[2]) + "SLOT" * (slot[2] != "fridge")
            if form in prepositions:
                return f"{prepositions[form]} the {name}"
            return f"a {name}" if form == "a" else name if form in (None, "count", "plural") else form

        found.append(words(SLOT.sub(word, sentence)))
    return found


def runs(sequence, length):
    return {tuple(sequence[i : i + length]) for i in range(len(sequence) - length + 1)}


def names_for(sentence, categories, surfaces):
    """Something for every slot of a wording."""
    categories, surfaces = itertools.cycle(categories), itertools.cycle(surfaces)
    names = {}
    for slot in sorted({slot[2] for slot in SLOT.finditer(sentence)} - {"fridge"}):
        if slot == "look":
            names[slot] = "round red fruit"
        elif slot == "place":
            names[slot] = RELATIONS["table near the sofa"].phrases[0]
        elif slot == "request":
            names[slot] = "Bring the plum to the sofa."
        else:
            names[slot] = next(categories) if slot.startswith(("object", "other")) else next(surfaces)
    return names


def every_filled_sentence():
    for family, wording in ALL:
        for i, category in enumerate(CATEGORIES):
            others = [CATEGORIES[(i + step) % len(CATEGORIES)] for step in (5, 12)]
            places = SURFACES[i % 7 :] + SURFACES[: i % 7]
            yield family, fill(wording.sentence, names_for(wording.sentence, [category, *others], places))
    for need in NEEDS.values():
        for sentence in need.sentences:
            for surface in SURFACES:
                yield "context", fill(sentence, {"target": surface})
    for looks in LOOKS.values():
        for wording, look in itertools.product(HELD_OUT["refer"], looks):
            yield "refer", fill(wording.sentence, {"look": look, "target": "sink"})
    for relation in RELATIONS.values():
        for wording, phrase in itertools.product(HELD_OUT["spatial"], relation.phrases):
            names = {"object": "scissors", "source": "sofa", "place": phrase}
            yield "spatial", fill(wording.sentence, names)


def test_there_are_enough_sentences():
    assert list(TRAIN) == TRAINED and set(HELD_OUT) == set(SLOTS)
    assert all(len(TRAIN[family]) >= 12 and len(HELD_OUT[family]) >= 6 for family in TRAINED)
    least = {"refer": 8, "spatial": 10, "distraction": 16}
    assert all(len(HELD_OUT[family]) >= least.get(family, 12) for family in HELD_OUT if family not in TRAINED)
    told = [slots_of(wording.sentence) == set(SOURCES_TOLD.split()) for wording in HELD_OUT["three_objects"]]
    assert sum(told) >= 5 and len(told) - sum(told) >= 5
    assert len(LOOKS) >= 12 and all(len(looks) >= 6 for looks in LOOKS.values())
    assert len(NEEDS) >= 14 and all(len(need.sentences) >= 4 for need in NEEDS.values())
    assert len(RELATIONS) >= 8 and all(len(relation.phrases) >= 2 for relation in RELATIONS.values())
    assert all(len(synonyms) >= 3 for synonyms in SYNONYMS.values())


def test_no_two_sentences_are_alike():
    for family in SLOTS:
        texts = [" ".join(words(wording.sentence)) for wording in TRAIN.get(family, ()) + HELD_OUT[family]]
        assert len(set(texts)) == len(texts), family
    for lists in (
        [need.sentences for need in NEEDS.values()],
        list(LOOKS.values()),
        [r.phrases for r in RELATIONS.values()],
    ):
        texts = [" ".join(words(text)) for texts in lists for text in texts]
        assert len(set(texts)) == len(texts)


@pytest.mark.parametrize("family", TRAINED)
def test_held_out_sentences_share_neither_verb_nor_run_of_five_words(family):
    def counted_as_one(sentence):  # any slot is like any other
        return [["slot" if word.endswith("slot") else word for word in spelled] for spelled in spellings(sentence)]

    trained = [(wording, spelled) for wording in TRAIN[family] for spelled in counted_as_one(wording.sentence)]
    for held_out in HELD_OUT[family]:
        for spelled in counted_as_one(held_out.sentence):
            for wording, known in trained:
                assert not runs(spelled, 5) & runs(known, 5), (held_out.sentence, wording.sentence)
                for verb, sentence in ((held_out.verb, known), (wording.verb, spelled)):
                    verb_words = tuple(verb.split())
                    assert verb_words not in runs(sentence, len(verb_words)), (verb, wording, held_out)


@pytest.mark.parametrize(("family", "wording"), ALL)
def test_a_sentence_names_its_verb_and_its_familys_slots(family, wording):
    if family in TRAINED:
        verb = tuple(wording.verb.split())
        assert verb and any(verb in runs(spelled, len(verb)) for spelled in spellings(wording.sentence))
    allowed = [set(SLOTS[family].split())]
    if family == "three_objects":
        allowed.append(set(SOURCES_TOLD.split()))
    if family == "distraction":
        allowed.append({"object", "target"})
        assert wording.sentence.count("{request}") == 1
    assert slots_of(wording.sentence) in allowed
    assert wording.sentence[-1] in ".?" or wording.sentence.endswith("{request}")


def test_sentences_of_families_never_trained_on_are_not_training_sentences():
    trained = {
        tuple(spelled) for family in TRAIN for wording in TRAIN[family] for spelled in spellings(wording.sentence)
    }
    for family in set(HELD_OUT) - set(TRAINED):
        for wording in HELD_OUT[family]:
            assert not trained & {tuple(spelled) for spelled in spellings(wording.sentence)}, wording
    for need in NEEDS.values():
        assert not trained & {tuple(spelled) for sentence in need.sentences for spelled in spellings(sentence)}


def test_filled_sentences_are_clean_english():
    wrong = re.compile(
        r"[{}]|  | [.,;:?]|[.?]{2}|\b[Aa] [aeio]|\b[Aa]n (?!hour|up|X\b)[^aeio]|\bthe the\b|\ba a\b|\brubriks"
        r"|\b(on|onto|off) the (sink|spot|place|gap)\b|\b(in|into|out of) the (sofa|table|surface|counter)"
        r"|\b(a|an|every|each|single|no) scissors|scissors (is|was|has|goes|stays|belongs|needs)\b"
        r"|lego(?! brick)|scissorss|knifes|boxs|peachs|strawberrys|wrenchs"
    )
    proper = {"I", "TV", "Rubik's", "Friday", "Finnish", "U", "X", "T"}
    longest = 0
    for _, text in every_filled_sentence():
        assert text[0].isupper() and text[-1] in ".?!", text
        assert not wrong.search(text), (wrong.search(text), text)
        assert {word.lstrip() for word in re.findall(r"(?<![.?!]) [A-Z][\w']*", text)} <= proper, text
        assert all(after.isupper() for after in re.findall(r"[.?!] (\w)", text)), text
        assert text.isascii()
        longest = max(longest, len(text.split()))
    assert longest <= 45


@pytest.mark.parametrize("category", CATEGORIES)
def test_scissors_are_them_and_all_else_is_it(category):
    several = category == "scissors"
    for _, wording in ALL:
        for slot in SLOT.finditer(wording.sentence):
            if slot[1] in ("it", "they", "its", "is") and slot[2] in ("object", "object1", "object2"):
                said = fill(slot[0], {slot[2]: category})
                assert (
                    said.lower()
                    == {
                        "it": ("it", "them"),
                        "they": ("it", "they"),
                        "its": ("its", "their"),
                        "is": ("is", "are"),
                    }[slot[1]][several]
                )


def test_forms():
    slots = {"object": "scissors", "fruit": "orange", "toy": "rubriks cube", "target": "sink", "source": "TV stand"}
    assert fill("{a object}; {a fruit}; {a toy}; {it object} {it fruit}", slots) == (
        "A pair of scissors; an orange; a Rubik's cube; them it"
    )
    assert (
        fill("put it {on target}, {onto target}, {off target}", slots)
        == "Put it in the sink, into the sink, out of the sink"
    )
    assert fill("put it {on source}, {onto source}, {off source}", slots) == (
        "Put it on the TV stand, onto the TV stand, off the TV stand"
    )
    assert with_article("apple") == "an apple"
    assert fill("every {count object}, every {count fruit}", slots) == "Every pair of scissors, every orange"
    plurals = {category: fill("the {plural x}", {"x": category})[4:] for category in CATEGORIES}
    assert plurals["scissors"] == "scissors" and plurals["strawberry"] == "strawberries"
    assert (plurals["knife"], plurals["box"], plurals["peach"], plurals["wrench"], plurals["rubriks cube"]) == (
        "knives",
        "boxes",
        "peaches",
        "wrenches",
        "Rubik's cubes",
    )
    assert len(set(plurals.values())) == 33 and all(plural.endswith("s") for plural in plurals.values())


def test_no_look_and_no_need_names_what_it_means():
    for category, texts in [
        *LOOKS.items(),
        *(
            (category, [fill(sentence, {"target": "sofa"}) for sentence in need.sentences])
            for category, need in NEEDS.items()
        ),
    ]:
        noun = NOUNS[category]
        naming = {*words(noun), *words(category), *words(OTHER_NAMES.get(category, ""))}
        if category == "scissors":
            naming.discard("cutter")
        for text in texts:
            said = " ".join(words(text))
            assert not naming & set(words(text)), (category, text)
            assert not any(word in said for word in {*words(noun), *words(category)} if len(word) > 3), (category, text)


def test_looks_are_of_categories_trained_on_and_have_an_article():
    assert not set(LOOKS) & set(HELD_OUT_CATEGORIES)
    for looks in LOOKS.values():
        for look in looks:
            assert look[0].islower() or look[1] == "-", look
            # "a U-shaped", "an X-shaped", "a hour": words whose first letter does not tell their first sound.
            assert not re.match(r"(hour|honest|uni|use|one|[AEFHILMNORSUX]\b)", look), look
            # Superlatives take "the", never "a"; a phrase set apart by a comma would need another after it.
            assert not re.match(r"\w+est\b", look.removeprefix("fist")) and not re.search(r", (one|with|as|as)\b", look)


def test_the_colours_that_looks_tell_are_those_of_every_asset():
    told = 0
    for category, looks in LOOKS.items():
        for look in looks:
            for word in {COLOURS_LIKE.get(word, word) for word in re.findall(r"[a-z]+", look)} & set(COLOUR_WORDS):
                (hue_from, hue_to), (dull, vivid), (dark, light) = COLOUR_WORDS[word]
                for asset in ASSETS[category]:
                    parts = [colorsys.rgb_to_hsv(*colour) for colour in ASSET_SHAPES[asset][:, RED : BLUE + 1].tolist()]
                    assert any(
                        any(hue_from <= 360 * h + turn <= hue_to for turn in (0, 360))
                        and dull <= s <= vivid
                        and dark <= v <= light
                        for h, s, v in parts
                    ), (asset, look, word)
                    told += 1
    assert told > 60


def test_needs_leave_no_other_category_that_would_serve():
    for category, need in NEEDS.items():
        assert category not in need.instead and set(need.instead) <= set(CATEGORIES)
        assert all({slot[2] for slot in SLOT.finditer(sentence)} == {"target"} for sentence in need.sentences)


def test_remarks_ask_for_nothing_and_place_nothing():
    asking = "please bring put take fetch need want should could would let must give"
    placing = "kitchen there where table counter sink sofa fridge drawer shelf floor"
    for wording in HELD_OUT["distraction"]:
        remark = wording.sentence.replace("{request}", "")
        assert not set(words(remark)) & {*words(asking), *words(placing)}, remark


def test_synonyms_are_disjoint_and_never_trained_on():
    assert set(SYNONYMS) == {*SURFACES, "fridge"}
    sides = {"left", "right", "hand", "on", "the"}
    content = {
        name: {word for synonym in SYNONYMS[name] for word in re.findall(r"[a-z]+", synonym)} for name in SYNONYMS
    }
    names = [name for synonyms in SYNONYMS.values() for name in synonyms]
    assert len(set(names)) == len(names) and not set(names) & {*RECEPTACLES, *JOINTS, *NOUNS.values()}
    for first, second in itertools.combinations(SYNONYMS, 2):
        # What the two tables or the two counters are both called does not tell them apart.
        assert (content[first] & content[second]) - sides <= {"desk", "worktop", "countertop", "benchtop"}, (
            first,
            second,
        )
    trained = {word for wordings in TRAIN.values() for wording in wordings for word in words(wording.sentence)}
    trained |= set(words(" ".join([*NOUNS.values(), *RECEPTACLES, *JOINTS])))
    for name in SYNONYMS:
        assert not (content[name] - sides) & trained, name


def test_wordings_are_drawn_from_the_right_list():
    for number in range(200):
        slots = {"object": "apple", "source": "sofa", "target": "sink"}
        trained, name = instruction("move", slots, "train", Draws(number))
        assert trained == fill(TRAIN["move"][int(name.removeprefix("train-"))].sentence, slots)
        held_out, name = instruction("move", slots, "held_out", Draws(number))
        assert held_out == fill(HELD_OUT["move"][int(name.removeprefix("held-out-"))].sentence, slots)
        synonyms, _ = instruction("move", slots, "synonyms", Draws(number))
        assert "sofa" not in synonyms and "sink" not in synonyms
        assert any(name in synonyms for name in SYNONYMS["sofa"]) and any(name in synonyms for name in SYNONYMS["sink"])
        fridge, _ = instruction("close_fridge", {}, "synonyms", Draws(number))
        assert any(name in fridge for name in SYNONYMS["fridge"]) and "fridge" not in fridge


def test_every_sentence_is_drawn_where_its_slots_are_told():
    told = {slot: "apple" if slot.startswith("object") else "sofa" for slot in SOURCES_TOLD.split()}
    untold = {slot: value for slot, value in told.items() if "source" not in slot}
    for slots in (told, untold):
        drawn = {instruction("three_objects", slots, "held_out", Draws(i))[1] for i in range(300)}
        assert drawn == {
            f"held-out-{number}"
            for number, wording in enumerate(HELD_OUT["three_objects"])
            if slots_of(wording.sentence) == set(slots)
        }
    for family in TRAINED:
        slots = {slot: "apple" if slot.startswith("object") else "sofa" for slot in SLOTS[family].split()}
        drawn = {instruction(family, slots, "train", Draws(i))[1] for i in range(400)}
        assert len(drawn) == len(TRAIN[family])


def test_sentences_are_put_together():
    for number in range(100):
        slots = {"object": "hammer", "target": "sink"}
        text, name = instruction("refer", slots, "held_out", Draws(number))
        _, _, frame, look = name.split("-")
        names = {"look": LOOKS["hammer"][int(look)], "target": "sink"}
        assert text == fill(HELD_OUT["refer"][int(frame)].sentence, names) and "hammer" not in text

        text, name = instruction("context", slots, "held_out", Draws(number))
        assert text == fill(NEEDS["hammer"].sentences[int(name.removeprefix("held-out-"))], slots)

        text, name = instruction("distraction", {**slots, "other": "scissors"}, "held_out", Draws(number))
        _, _, remark, request = name.split("-")
        request = fill(TRAIN["fetch"][int(request)].sentence, slots)
        assert request in text and text != request
        assert text == fill(HELD_OUT["distraction"][int(remark)].sentence, {"request": request, "other": "scissors"})

        slots = {"object": "hammer", "source": "sofa", "target": "sink"}
        text, name = instruction("spatial", slots, "held_out", Draws(number), "between the counters")
        _, _, frame, phrase = name.split("-")
        names = {**slots, "place": RELATIONS["between the counters"].phrases[int(phrase)]}
        assert text == fill(HELD_OUT["spatial"][int(frame)].sentence, names) and "sink" not in text


def test_unknown_names_are_refused():
    with pytest.raises(UsageProblem, match="unknown wordings 'held-out'"):
        instruction("move", {}, "held-out", Draws(0))
    with pytest.raises(UsageProblem, match="unknown family 'juggle'"):
        instruction("juggle", {}, "train", Draws(0))
    with pytest.raises(UsageProblem, match="unknown family 'refer'"):
        instruction("refer", {"object": "apple", "target": "sofa"}, "train", Draws(0))
    with pytest.raises(UsageProblem, match="no sentence of family 'move' has slots object, target"):
        instruction("move", {"object": "apple", "target": "sofa"}, "train", Draws(0))
    with pytest.raises(UsageProblem, match="unknown described object 'wrench'"):
        instruction("refer", {"object": "wrench", "target": "sofa"}, "held_out", Draws(0))
    with pytest.raises(UsageProblem, match="unknown needed object 'wrench'"):
        instruction("context", {"object": "wrench", "target": "sofa"}, "held_out", Draws(0))
    with pytest.raises(UsageProblem, match="unknown relation 'on the moon'"):
        slots = {"object": "apple", "source": "sink", "target": "sofa"}
        instruction("spatial", slots, "held_out", Draws(0), "on the moon")
