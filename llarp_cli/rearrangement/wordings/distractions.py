"""Irrelevant remarks before, after or around a request.

None asks for anything, and none says where anything is. `{other}` is a category that is not asked for.
"""

from __future__ import annotations

from llarp_cli.rearrangement.wordings.wording import Wording, sentences

DISTRACTIONS: tuple[Wording, ...] = sentences(
    "The weather has been lovely all week. {request}",
    "{request} By the way, my sister's wedding was wonderful.",
    "Good morning! I slept like a log. {request} You really are a great help.",
    "I have never been very fond of {plural other}. {request}",
    "{request} Last night I dreamt about {a other}, of all things.",
    "My neighbour has collected {plural other} for forty years, can you believe it? {request}",
    "It is funny that nobody in my family ever owned {a other}. {request}",
    "{request} My little nephew drew {a other} at school today, and it was a very good drawing.",
    "What a long day it has been at the office! {request} I am so glad it is Friday.",
    "They talked about the price of {plural other} on the radio this morning. {request}",
    "{request} Our team won three to nothing yesterday, in the pouring rain.",
    "My grandmother used to say that {a other} can make anybody smile. {request} She was a wise woman.",
    "I am reading a detective story in which {a other} solves the case. {request}",
    "{request} In case you wonder why I am in such a good mood: tomorrow is my birthday.",
    "The train was late again and I had to stand all the way. {request}",
    "Somebody once told me that {plural other} mean good luck, but I doubt it. {request}",
    "{request} The word for {a other} in Finnish always escapes me.",
    "I have a bit of a headache today, nothing serious. {request}",
)
"""Remarks, with the request among them."""
