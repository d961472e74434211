import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from greenroom.capture.labels import read_labels, read_pattern
from greenroom.errors import BadInput

CSV = b"""take,start,end,style,phase
walk,,,happy,
walk,0.5,1.0,,stroke
walk,0,0.5,,rest
b/run.bvh,,,"sad, very",
"""
ROWS = [
    {"take": "walk", "style": "happy"},
    {"take": "walk", "start": 0.5, "end": 1, "phase": "stroke"},
    {"take": "walk", "start": 0, "end": 0.5, "phase": "rest", "style": None},
    {"take": "b/run.bvh", "style": "sad, very"},
]
TREE = {
    "walk": {"style": "happy", "phase": [[0, 0.5, "rest"], [0.5, 1.0, "stroke"]]},
    "b/run.bvh": {"style": "sad, very"},
}


@pytest.mark.parametrize(
    "data",
    [CSV, b"\xef\xbb\xbf" + CSV.replace(b"\n", b"\r\n"), json.dumps(ROWS), json.dumps(TREE)],
    ids=["csv", "windows", "rows", "tree"],
)
def test_the_same_labels_in_every_form(data) -> None:
    labels = read_labels(data if isinstance(data, bytes) else data.encode(), where="l")
    walk = {"style": "happy", "phase": [(0, 15, "rest"), (15, 30, "stroke")]}
    for path in ("walk.bvh", "a/walk.wav", "/x/walk"):
        assert labels.of([path], 60) == walk
    assert labels.of(["a/b/run.bvh"], 60) == {"style": "sad, very"}
    assert labels.of(["a/run.bvh"], 60) == labels.of(["walk2.bvh"], 60) == {}
    assert labels.meant(["q/walk.bvh", "other.bvh"]) == {"walk"}


def test_stretches_are_ticks_within_the_take() -> None:
    text = b"take,start,end,p\nw,0.02,0.03,none\nw,0.034,0.067,a\nw,1.9,2.4,b\n"
    assert read_labels(text, where="l").of(["w.bvh"], 60) == {"p": [(1, 2, "a"), (57, 60, "b")]}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b"", "empty"),
        (b"\n\n", "empty"),
        (b"\xff\xfe", "UTF-8"),
        (b"name,style\nw,happy\n", "the columns"),
        (b"take;style\nw;happy\n", "the columns"),
        (b"take,style,style\nw,a,b\n", "the columns"),
        (b"take,3d\nw,a\n", "no name for a tier"),
        (b"take,\nw,a\n", "no name for a tier"),
        (b"take,style\nw,happy,x\n", "l.csv:2: 3 cells"),
        (b"take,style\n,happy\n", "l.csv:2: a row without"),
        (b"take,style\nw,\n", "no label"),
        (b'take,style\nw,"happy\n', "l.csv:"),
        (b"take,start,end,p\nw,1,,a\n", "from '1' to ''"),
        (b"take,start,end,p\nw,1,1,a\n", "from '1' to '1'"),
        (b"take,start,end,p\nw,-1,1,a\n", "from '-1'"),
        (b"take,start,end,p\nw,nan,1,a\n", "from 'nan'"),
        (b"take,start,end,p\nw,1,inf,a\n", "'inf'"),
        (b"take,style\nw," + b"x" * 300 + b"\n", "'style' is"),
        (b"take,style\nw,a\x07b\n", "'style' is"),
        (b"[", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[1]", "row 0: no object"),
        (b'[{"style": "happy"}]', "row 0: a row without"),
        (b'[{"take": "w", "style": ["x"]}]', "'style' is"),
        (b'[{"take": "w", "style": true}]', "'style' is"),
        (b'{"w": {"phase": [[0, 1]]}}', "no object"),
        (b'{"w": "happy"}', "no object"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_bad_labels_file_is_refused_with_its_row(text, problem) -> None:
    with pytest.raises(BadInput, match=problem) as caught:
        read_labels(text, where="l.csv")
    assert caught.value.then and str(caught.value).startswith("l.csv")


@pytest.mark.parametrize(
    "text",
    [
        b"take,style\nw,a\nw,b\n",
        b"take,start,end,p\nw,0,1,a\nw,0.5,2,b\n",
        b"take,start,end,p\nw,0,1,a\nw,,,b\n",
        b"take,start,end,p\nw,,,b\nw,0,1,a\n",
        b"take,style\nw,a\nw.bvh,b\n",
    ],
)
def test_two_things_of_one_moment_are_refused(text: bytes) -> None:
    with pytest.raises(BadInput, match="two things"):
        read_labels(text, where="l").of(["w.bvh"], 60)


def test_phonemes_are_a_tier_of_stretches() -> None:
    rows = (
        b"take,start,end,phonemes,emotion\nw,,,,happy\nw,0.1,0.2,AA,\nw,0.2,0.21,T,\nw,0.3,9,M,\n"
    )
    spoken = [(3, 6, "AA"), (9, 12, "M")]  # what is shorter than half a tick is heard in none
    assert read_labels(rows, where="l").of(["w.wav"], 12) == {
        "phonemes": spoken,
        "emotion": "happy",
    }
    tree = json.dumps({"w": {"phonemes": [[0.1, 0.2, "AA"], [0.3, 9, "M"]]}}).encode()
    assert read_labels(tree, where="l").of(["w.wav"], 12) == {"phonemes": spoken}
    for bad in (b"take,phonemes\nw,AA\n", b'{"w": {"phonemes": "AA"}}'):
        with pytest.raises(BadInput, match="phoneme 'AA' has no time; give each phoneme its start"):
            read_labels(bad, where="l")
    with pytest.raises(BadInput, match="phonemes have times"):
        read_pattern("set_{phonemes}_{n}")


def test_a_stretch_after_the_end_is_refused() -> None:
    with pytest.raises(BadInput, match="of 2.00 s"):
        read_labels(b"take,start,end,p\nw,2,3,a\n", where="l").of(["w.bvh"], 60)


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.binary(max_size=100), st.text("take,\n\"'12.e-start[]{}:w\0", max_size=80)))
def test_any_bytes_are_labels_or_bad_input(data) -> None:
    text = data if isinstance(data, bytes) else b"take,start,end,p\n" + data.encode()
    try:
        read_labels(text, where="l").of(["w", "e", "1"], 60)
    except BadInput as error:
        assert error.then


json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.floats(), st.text(max_size=5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(["take", "start", "end", "w"]), inner, max_size=3),
    ),
    max_leaves=8,
)


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.lists(json_values, max_size=2), st.dictionaries(st.text(), json_values)))
def test_any_json_is_labels_or_bad_input(value) -> None:
    try:
        read_labels(json.dumps(value).encode(), where="l").of(["w"], 60)
    except BadInput as error:
        assert error.then


@pytest.mark.parametrize(
    ("pattern", "name", "wanted"),
    [
        (
            "dataset-2_{content}_{style}_{n}",
            "dataset-2_walk-turn-left_happy_012.bvh",
            {"content": "walk-turn-left", "style": "happy", "n": "012"},
        ),
        ("{style}_{rest}", "happy_a_b_c.wav", {"style": "happy", "rest": "a_b_c"}),
        ("{emotion}_MySlate_{_}", "angry_MySlate_164_iPhone_cal.csv", {"emotion": "angry"}),
        ("{style}.v{n}", "sad.v3.bvh", {"style": "sad", "n": "3"}),
        ("{content}.bvh", "walk.bvh", {"content": "walk"}),
        ("dataset-1_{content}_{style}_{n}", "dataset-2_walk_happy_1.bvh", {}),
        ("{a}_{b}", "nothing.bvh", {}),
    ],
)
def test_a_pattern_says_what_a_name_says(pattern, name, wanted) -> None:
    assert read_pattern(pattern).of([f"some_folder/{name}"]) == wanted


@pytest.mark.parametrize(
    "pattern", ["", "walk", "{a}{b}", "{a}_{a}", "{}", "{a b!}", "{a", "a}_{b}", "{_}", "{take}"]
)
def test_a_bad_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(BadInput) as caught:
        read_pattern(pattern)
    assert caught.value.then


@settings(max_examples=100, deadline=None)
@given(st.text("{}ab_-.*(?", max_size=20), st.text("ab_-.*(?", max_size=20))
def test_any_pattern_fits_or_not_or_is_bad_input(pattern: str, name: str) -> None:
    try:
        assert all(read_pattern(pattern).of([name]).values())
    except BadInput as error:
        assert error.then
