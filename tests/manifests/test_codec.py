"""Every kind goes to JSON and back, and whatever else is read is one clear error."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from greenroom.errors import BadInput
from greenroom.manifests import (
    KINDS,
    Annotation,
    AnnotationLabel,
    AnnotationParents,
    Dataset,
    Manifest,
    Medium,
    from_json,
    kind_of,
    to_json,
)
from greenroom.store.objects import Objects, canonical

TEXT = st.text(st.characters(codec="utf-8"), max_size=6)
NUMBERS = st.floats(-1e6, 1e6, allow_nan=False)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | NUMBERS | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)


def of_info(info: Any) -> st.SearchStrategy[Any]:
    """Return values of a field's type, within its bounds."""
    types = msgspec.inspect
    match info:
        case types.Metadata():
            return of_info(info.type)
        case types.StrType():
            if info.pattern:
                return st.from_regex(info.pattern, fullmatch=True)
            return st.text(st.characters(codec="utf-8"), min_size=info.min_length or 0, max_size=8)
        case types.IntType():
            low = -(2**53) + 1 if info.ge is None else info.ge
            return st.integers(low, 2**53 - 1 if info.le is None else info.le)
        case types.FloatType():
            low = -1e6 if info.ge is None else info.ge
            return st.floats(low, 1e6 if info.le is None else info.le, allow_nan=False)
        case types.LiteralType():
            return st.sampled_from(info.values)
        case types.BoolType():
            return st.booleans()
        case types.NoneType():
            return st.none()
        case types.AnyType():
            return JSON
        case types.ListType():
            return st.lists(of_info(info.item_type), max_size=2)
        case types.TupleType():
            return st.tuples(*(of_info(each) for each in info.item_types))
        case types.DictType():
            keys = of_info(info.key_type)
            return st.dictionaries(keys, of_info(info.value_type), max_size=2)
        case types.UnionType():
            return st.one_of(*(of_info(each) for each in info.types))
        case types.StructType():
            return of_struct(info.cls)
    raise AssertionError(f"no values of {info}")


def of_struct(kind: Any) -> st.SearchStrategy[Any]:
    info = msgspec.inspect.type_info(kind)
    fields = {each.name: of_info(each.type) for each in info.fields}
    return st.builds(kind, **{**fields, **BOUND.get(kind, {})})


HASHES = st.lists(st.text("0123456789abcdef", min_size=64, max_size=64), unique=True, max_size=3)
BOUND: dict[Any, dict[str, st.SearchStrategy[Any]]] = {
    Dataset: {"splits": HASHES.map(lambda takes: {"train": takes[:1], "test": takes[1:]})},
    AnnotationLabel: {
        "span": st.none() | st.tuples(st.integers(0, 9), st.integers(9, 99)),
    },
}
"""Fields whose values depend on one another."""


@pytest.mark.parametrize("tag", sorted(KINDS))
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_every_kind_goes_to_json_and_back(tag: str, data: st.DataObject) -> None:
    manifest = data.draw(of_struct(KINDS[tag]))
    assert kind_of(manifest) == tag
    stored = canonical(to_json(manifest))
    again = from_json(msgspec.json.decode(stored))
    assert canonical(to_json(again)) == stored and type(again) is type(manifest)


@pytest.mark.parametrize("tag", sorted(KINDS))
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_wrong_field_is_named(tag: str, data: st.DataObject) -> None:
    fields = to_json(data.draw(of_struct(KINDS[tag])))
    name = data.draw(st.sampled_from(KINDS[tag].__struct_fields__))
    for wrong in ({**fields, name: object()}, {**fields, name: [[[]]]}):
        with pytest.raises(BadInput, match=f"^{name}.*: object abc is no valid {tag}: ") as error:
            from_json(wrong, "abc")
        assert "\n" not in str(error.value)
    needed = [each for each in fields if each not in ("kind", "version")]
    required = [each.name for each in msgspec.inspect.type_info(KINDS[tag]).fields if each.required]
    for missing in set(needed) & set(required):
        without = {key: value for key, value in fields.items() if key != missing}
        with pytest.raises(BadInput, match=f"missing required field `{missing}`"):
            from_json(without)
    with pytest.raises(BadInput, match="unknown field `surplus`"):
        from_json({**fields, "surplus": 1})


def test_a_value_that_is_the_default_is_not_written_however_it_came_about() -> None:
    blob = "0" * 64
    plain, explicit = (
        Medium(format="bvh", blob=blob),
        Medium(format="bvh", blob=blob, rate=1.5 - 1.5),
    )
    assert to_json(plain) == to_json(explicit) == {"format": "bvh", "blob": blob}
    scope = "".join(["ta", "ke"])
    parents = AnnotationParents(take=blob)
    assert "scope" not in to_json(Annotation(tiers={}, parents=parents, scope=scope))


def test_an_error_has_the_object_the_field_and_the_value() -> None:
    fields = {"kind": "take", "version": 2, "media": {}, "clock": {"ticks": -3}}
    with pytest.raises(BadInput) as error:
        from_json(fields, "0123456789abcdef")
    text = str(error.value)
    assert text.startswith("clock.ticks: object 0123456789ab is no valid take: Expected `int` >= 0")
    assert "but it is -3" in text and "\n" not in text


@pytest.mark.parametrize("version", [1, 3, None, "2", 2.5, True])
def test_another_version_is_refused_in_one_line(version: Any) -> None:
    with pytest.raises(BadInput, match="begin with a new --home, and ingest again"):
        from_json({"kind": "take", "version": version, "media": {}, "clock": {"ticks": 1}})
    with pytest.raises(BadInput, match="is of no known kind: 'crossval'; begin with a new --home"):
        from_json({"kind": "crossval", "version": 1})


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.sampled_from(["kind", "version", "media", "parents", "x"]), JSON))
def test_whatever_json_is_read_is_a_manifest_or_one_clear_error(fields: dict[str, Any]) -> None:
    for change in ({}, {"kind": "take", "version": 2}, {"kind": "model", "version": 2}):
        try:
            assert isinstance(from_json({**fields, **change}), Manifest)
        except BadInput as error:
            assert "\n" not in error.what


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.binary(max_size=60) | JSON.map(msgspec.json.encode))
def test_whatever_bytes_are_read_are_one_clear_error(tmp_path: Path, data: bytes) -> None:
    objects = Objects(tmp_path)
    with pytest.raises(BadInput):
        objects.read_any(objects.put(data))
