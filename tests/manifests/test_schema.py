from pathlib import Path

import pytest

from greenroom.manifests import KINDS
from greenroom.manifests.schema import reference_page, schema_of

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "manifests.md"


def test_the_reference_page_is_current() -> None:
    then = "run: python -m greenroom.manifests.schema > docs/reference/manifests.md"
    assert PAGE.read_text() == reference_page(), then


@pytest.mark.parametrize("tag", sorted(KINDS))
def test_every_field_of_every_kind_has_a_schema_and_a_meaning(tag: str) -> None:
    kind = KINDS[tag]
    schema, _ = schema_of(kind)
    assert set(schema["properties"]) == {"kind", "version", *kind.__struct_fields__}
    assert schema["properties"]["kind"]["enum"] == [tag]
    section = reference_page().split(f"\n## {tag}\n")[1].split("\n## ")[0]
    for name in kind.__struct_fields__:
        assert f"| `{name}` |" in section
        assert f"| `{name}` | yes |  |" not in section and f"| `{name}` | no |  |" not in section
