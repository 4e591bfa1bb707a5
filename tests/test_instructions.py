import re

import pytest

from llarp_cli.errors import UsageProblem
from llarp_cli.rearrangement.draws import Draws
from llarp_cli.rearrangement.instructions import NOUNS, SLOT, fill, instruction, with_article
from llarp_cli.rearrangement.tasks import FAMILIES, make_task
from llarp_cli.rearrangement.vocabulary import CATEGORIES, JOINTS, RECEPTACLES, SURFACES
from llarp_cli.rearrangement.wordings import HELD_OUT, SYNONYMS, TRAIN

ALL = [(family, wording) for table in (TRAIN, HELD_OUT) for family in table for wording in table[family]]


def spellings(sentence):
    """A sentence as two word lists, with "on" and with "in" before places; a slot is a word."""
    found = []
    for prepositions in ({"on": "on", "onto": "onto", "off": "off"}, {"on": "in", "onto": "into", "off": "out of"}):

        def word(slot, prepositions=prepositions):
            form, name = slot[1], re.sub(r"\d", "", slot[2])
            if form in prepositions:
                return f"{prepositions[form]} the {name}SLOT"
            return f"a {name}SLOT" if form == "a" else "it" if form == "it" else f"{name}SLOT"

        found.append(re.findall(r"[\w']+", SLOT.sub(word, sentence).lower()))
    return found


def runs(words, length):
    return {tuple(words[i : i + length]) for i in range(len(words) - length + 1)}


def test_there_are_enough_sentences():
    for family in FAMILIES:
        assert len(TRAIN[family]) >= 12, family
        assert len(HELD_OUT[family]) >= 5, family
        sentences = [wording.sentence for wording in TRAIN[family] + HELD_OUT[family]]
        assert len(set(sentences)) == len(sentences)


@pytest.mark.parametrize("family", list(HELD_OUT))
def test_held_out_sentences_share_neither_verb_nor_run_of_five_words(family):
    trained = [(wording, words) for wording in TRAIN[family] for words in spellings(wording.sentence)]
    for held_out in HELD_OUT[family]:
        for words in spellings(held_out.sentence):
            for wording, known in trained:
                assert not runs(words, 5) & runs(known, 5), (held_out.sentence, wording.sentence)
                for verb, sentence in ((held_out.verb, known), (wording.verb, words)):
                    verb_words = tuple(verb.split())
                    assert verb_words not in runs(sentence, len(verb_words)), (verb, wording, held_out)


@pytest.mark.parametrize(("family", "wording"), ALL)
def test_a_sentence_names_its_verb_and_its_familys_slots(family, wording):
    assert any(
        tuple(wording.verb.split()) in runs(words, len(wording.verb.split())) for words in spellings(wording.sentence)
    )
    assert {slot[2] for slot in SLOT.finditer(wording.sentence)} == set(make_task(family, Draws(0)).slots)
    assert wording.sentence[-1] in ".?"


def test_filled_sentences_are_clean_english():
    for family, wording in ALL:
        for category in CATEGORIES:
            for surface in SURFACES:
                slots = {
                    slot: category if slot.startswith("object") else surface
                    for slot in make_task(family, Draws(0)).slots
                }
                text = fill(wording.sentence, slots)
                assert "{" not in text and "  " not in text and text[0].isupper()
                assert not re.search(
                    r"\ba [aeiou]|\ban [^aeiou]|\b(on|onto) the sink|\ba scissors|scissors\b.*\bit\b", text
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


def test_synonyms_are_disjoint_and_never_trained_on():
    assert set(SYNONYMS) == set(SURFACES)
    names = [name for synonyms in SYNONYMS.values() for name in synonyms]
    assert len(set(names)) == len(names) and not set(names) & {*RECEPTACLES, *JOINTS, *NOUNS.values()}
    assert all(len(synonyms) >= 2 for synonyms in SYNONYMS.values())
    for family, wording in ALL:
        slots = dict.fromkeys(make_task(family, Draws(0)).slots, "X")
        text = fill(wording.sentence, slots).lower()
        assert not any(name in text for name in names)


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


def test_unknown_names_are_refused():
    with pytest.raises(UsageProblem, match="unknown wordings 'held-out'"):
        instruction("move", {}, "held-out", Draws(0))
    with pytest.raises(UsageProblem, match="unknown family 'juggle'"):
        instruction("juggle", {}, "train", Draws(0))
