"""The sentences, our own: training wordings, held-out ones, and what evaluation alone uses.

A held-out sentence shares neither its main verb phrase nor a run of five words (a slot counts as one) with
any training sentence of its family. Slots are filled as follows, for an apple and for scissors, for a sofa
and for a sink:

    {object}      apple, scissors
    {a object}    an apple, a pair of scissors
    {count object} apple, pair of scissors (after every, each, no)
    {plural object} apples, scissors
    {it object}   it, them
    {they object} it, they
    {its object}  its, their
    {is object}   is, are
    {target}      sofa, sink
    {on target}   on the sofa, in the sink
    {onto target} onto the sofa, into the sink
    {off target}  off the sofa, out of the sink

Besides a task's own slots there are `{fridge}`, the fridge; `{look}`, a description in place of the object;
`{place}`, a description in place of the target, with the prepositions of the target; and `{request}`, a whole
training sentence.
"""

from llarp_cli.rearrangement.wordings.distractions import DISTRACTIONS
from llarp_cli.rearrangement.wordings.evaluation_only import EVALUATION_ONLY
from llarp_cli.rearrangement.wordings.held_out import REPHRASED
from llarp_cli.rearrangement.wordings.looks import LOOKS
from llarp_cli.rearrangement.wordings.needs import NEEDS, Need
from llarp_cli.rearrangement.wordings.synonyms import SYNONYMS
from llarp_cli.rearrangement.wordings.train import TRAIN
from llarp_cli.rearrangement.wordings.wording import Wording

HELD_OUT: dict[str, tuple[Wording, ...]] = {**REPHRASED, **EVALUATION_ONLY, "distraction": DISTRACTIONS}
"""Family → held-out wordings; those of context are in `NEEDS`."""

__all__ = ["HELD_OUT", "LOOKS", "NEEDS", "SYNONYMS", "TRAIN", "Need", "Wording"]
