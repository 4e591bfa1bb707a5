"""The pickle reader: hostile, broken and endless pickles."""

import builtins
import io
import os
import pickle
import pickletools
import struct
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from released_files import brought, episode, released, write

from llarp_cli.dataset_import import import_file
from llarp_cli.errors import UsageProblem
from llarp_cli.rearrangement.released import safe_pickle
from llarp_cli.rearrangement.released.safe_pickle import MAX_BYTES, unpickle

MOVE = episode("42f1b012", "The lemon on the sofa goes to the sink.", brought("lemon", "sink"), where={"lemon": "sofa"})


class Calls:
    """Pickles as a call."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


class Stateful:
    pass


class Subclass(np.ndarray):
    pass


def hostile():
    objects = np.empty(1, object)
    objects[0] = Calls(os.system, "touch ran")
    stateful = Stateful()
    stateful.x = 1
    calls = {
        "os.system": Calls(os.system, "touch ran"),
        "eval": Calls(builtins.eval, "open('ran', 'w')"),
        "exec": Calls(builtins.exec, "open('ran', 'w')"),
        "open": Calls(open, "ran", "w"),
        "getattr": Calls(getattr, "text", "upper"),
        "numpy.load": Calls(np.load, "ran", None, True),
        "numpy.save": Calls(np.save, "ran", 0),
        "numpy.memmap": Calls(np.memmap, "ran", "u1", "w+", 0, (4,)),
        "numpy.zeros": Calls(np.zeros, (10**7, 10**7)),
        "objects in an array": objects,
        "texts in an array": np.array(["a", "b"]),
        "records": np.zeros(2, [("a", "i4")]),
        "dates": np.zeros(2, "M8[s]"),
        "a numpy number": np.float64(1),
        "a masked array": np.ma.array([1, 2]),
        "an object with state": stateful,
        "a class": Stateful,
        "a set": {1, 2},
        "a complex number": 1j,
        "a path": Path("x"),
        "a subclass": np.zeros(3).view(Subclass),
    }
    for name, value in calls.items():
        for protocol in range(6):
            yield pytest.param({"all_eps": [value]}, protocol, id=f"{name}, protocol {protocol}")


@pytest.mark.parametrize(("value", "protocol"), list(hostile()))
def test_what_is_no_array_of_numbers_is_refused_and_not_run(tmp_path, monkeypatch, value, protocol):
    monkeypatch.chdir(tmp_path)
    data = pickle.dumps(value, protocol=protocol)
    Path("bad.pickle").write_bytes(data)
    with pytest.raises(UsageProblem, match=r"bad\.pickle: refused, because it asks for") as caught:
        import_file("bad.pickle", "out.jsonl")
    assert "\n" not in caught.value.message
    assert os.listdir() == ["bad.pickle"]


def test_the_refused_name_is_told():
    with pytest.raises(UsageProblem, match=r"asks for '(posix|nt)\.system'"):
        unpickle(pickle.dumps(Calls(os.system, "true")), "x.pickle")


ARRAY = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85C\x01btR"
FLOATS = b"cnumpy\ndtype\n(\x8c\x02f4\x89\x88tR(K\x03\x8c\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"


def bombs():
    huge = b"\x8a\x08" + struct.pack("<q", 10**12)
    return {
        "an array of 10^12 numbers": ARRAY + b"(K\x01" + huge + b"\x85" + FLOATS + b"\x89C\x04\0\0\0\0tb.",
        "an empty array of huge shape": ARRAY + b"(K\x01" + huge + huge + b"K\x00\x87" + FLOATS + b"\x89C\x00tb.",
        "a negative shape": ARRAY + b"(K\x01J\xff\xff\xff\xff\x85" + FLOATS + b"\x89C\x00tb.",
        "a shape of 40": ARRAY + b"(K\x01(" + b"K\x01" * 40 + b"t" + FLOATS + b"\x89C\x04\0\0\0\0tb.",
        "a state for a list": b"]N}b.",
        "a state for a name": b"cnumpy\nndarray\n}b.",
        "a call of ndarray": b"cnumpy\nndarray\nK\x08\x85\x85R.",
        "a call of a text": b"\x8c\x01a)R.",
        "a text of 2^62 bytes": b"\x8d" + struct.pack("<Q", 1 << 62) + b"x.",
        "bytes of 4 GB": b"B" + struct.pack("<I", 0xFFFFFFFF) + b"x.",
        "an extension": b"\x82\x01.",
        "a larger extension": b"\x84\x01\x01\x01\x01.",
        "a persistent id": b"Pcommand\n.",
        "a persistent id from the stack": b"\x8c\x01aQ.",
        "an instance": b"(S'touch ran'\nios\nsystem\n.",
        "an object": b"(cnumpy\nndarray\no.",
        "a new object": b"cnumpy\nndarray\n)\x81.",
        "a buffer from outside": b"\x97.",
        "a name of no module": b"\x8c\x00\x8c\x00\x93.",
        "a name that is a number": b"K\x01K\x02\x93.",
        "a list for a key": b"}]K\x01s.",
        "a nested tuple for a key": b"}" + b")" + b"\x85" * 100_000 + b"K\x01s.",
        "a key without a value": b"}(K\x01u.",
        "memory never filled": b"h\x07.",
        "nothing on the stack": b".",
        "an item for nothing": b"K\x01a.",
        "a mark never set": b"t.",
        "a number of 2000 digits": b"L" + b"9" * 2000 + b"L\n.",
        "a number of 2^70": b"\x8a\x09" + b"\xff" * 8 + b"\x3f.",
        "not UTF-8": b"\x8c\x02\xff\xfe.",
        "no end": b"\x80\x04]",
        "no pickle": b"PK\x03\x04 this is something else",
        "a text file": b'{"version": 1}\n',
    }


@pytest.mark.parametrize("name", bombs())
def test_bombs_and_nonsense_are_refused_in_one_line(name):
    with pytest.raises(UsageProblem, match=r"^x\.pickle: (refused|no pickle)") as caught:
        unpickle(bombs()[name], "x.pickle")
    assert "\n" not in caught.value.message
    assert len(caught.value.message) < 250


def test_the_number_of_steps_is_limited(monkeypatch):
    monkeypatch.setattr(safe_pickle, "MAX_STEPS", 1000)
    assert unpickle(b"](" + b"N" * 990 + b"e.", "x.pickle") == [None] * 990
    with pytest.raises(UsageProblem, match="asks for more than 1,000 steps"):
        unpickle(b"](" + b"N" * 1000 + b"e.", "x.pickle")


def test_what_is_declared_but_not_there_takes_no_memory():
    assert unpickle(b"\x80\x04\x95" + struct.pack("<Q", 1 << 60) + b"N.", "x.pickle") is None
    assert not isinstance(unpickle(ARRAY + b".", "x.pickle"), np.ndarray)


def test_arrays_and_plain_values_are_read_as_they_were_written():
    numbers = [np.arange(6).reshape(2, 3).astype(kind) for kind in ("<f4", ">f8", "<i8", ">i4", "u1", "?")]
    numbers += [np.asfortranarray(numbers[0]), np.zeros((0, 2)), np.float32([[1]]).repeat(3, 0)[::2], np.array(4.5)]
    plain = {"a": [1, -2, 1 << 40, True, None, 2.5], 3: ("é\n", b"\0", (), {}), "long": "x" * 300}
    plain["again"] = plain["a"]
    for protocol in (3, 4, 5):
        read, values = unpickle(pickle.dumps((numbers, plain), protocol=protocol), "x.pickle")
        assert values == plain
        assert values["again"] is values["a"]
        for one, other in zip(read, numbers, strict=True):
            assert one.dtype == other.dtype
            assert one.shape == other.shape
            assert (one == other).all()


def test_nesting_is_no_danger(tmp_path):
    deep = b"]" * 200_000 + b"a" * 199_999 + b"."
    assert type(unpickle(deep, "x.pickle")) is list
    content = released([MOVE])
    content["all_eps"][0]["goal_preds"] = "HERE"
    data = pickle.dumps(content, protocol=4)
    nested = b"]" * 1000 + b"a" * 999
    source = tmp_path / "deep.pickle"
    source.write_bytes(_without_frames(data).replace(b"\x8c\x04HERE", nested))
    with pytest.raises(UsageProblem, match="episode 0: goal_preds holds"):
        import_file(source, tmp_path / "out.jsonl")


def _without_frames(data):
    """The same pickle with its texts not memoised after them, so that one may stand for another value."""
    out = io.BytesIO()
    positions = [(opcode.name, at) for opcode, _, at in pickletools.genops(data)] + [("", len(data))]
    for (name, at), (_, following) in pairwise(positions):
        if name != "FRAME":
            out.write(data[at:following])
    return out.getvalue()


def test_a_list_that_holds_itself_is_no_danger(tmp_path):
    content = released([MOVE])
    loop = []
    loop.append(loop)
    content["all_eps"][0]["goal_preds"] = {"expr_type": "AND", "sub_exprs": loop}
    with pytest.raises(UsageProblem, match="episode 0: goal_preds holds"):
        import_file(write(tmp_path / "loop.pickle", content), tmp_path / "out.jsonl")


def test_a_goal_that_multiplies_is_no_danger(tmp_path):
    node = "not_holding()"
    for _ in range(15):
        node = {"expr_type": "AND", "sub_exprs": [node] * 100}
    content = released([MOVE])
    content["all_eps"][0]["goal_preds"] = node
    with pytest.raises(UsageProblem, match="episode 0: goal_preds has more than 1000 nodes"):
        import_file(write(tmp_path / "many.pickle", content), tmp_path / "out.jsonl")


def test_sizes_are_looked_at_first(tmp_path):
    big = tmp_path / "big.pickle"
    with open(big, "wb") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(UsageProblem, match="larger than 64 MiB"):
        import_file(big, tmp_path / "out.jsonl")
    (tmp_path / "pointer.pickle").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 833\n")
    with pytest.raises(UsageProblem, match="is a Git LFS pointer"):
        import_file(tmp_path / "pointer.pickle", tmp_path / "out.jsonl")
    with pytest.raises(UsageProblem, match="is no file"):
        import_file(tmp_path, tmp_path / "out.jsonl")
    with pytest.raises(UsageProblem, match="cannot read"):
        import_file(tmp_path / "none.pickle", tmp_path / "out.jsonl")
    (tmp_path / "empty.pickle").touch()
    with pytest.raises(UsageProblem, match="is empty"):
        import_file(tmp_path / "empty.pickle", tmp_path / "out.jsonl")


def test_a_file_cut_short_anywhere_is_refused(tmp_path):
    data = pickle.dumps(released([MOVE]), protocol=4)
    source = tmp_path / "cut.pickle"
    for length in (*range(0, len(data), 997), len(data) - 1):
        source.write_bytes(data[:length])
        with pytest.raises(UsageProblem, match=r"cut short|empty"):
            import_file(source, tmp_path / "out.jsonl")
    assert os.listdir(tmp_path) == ["cut.pickle"]
