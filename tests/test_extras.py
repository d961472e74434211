"""One error for every optional package that is not installed."""

import pytest

from greenroom.errors import MissingExtra
from greenroom.extras import require


def test_an_installed_package_is_returned() -> None:
    assert require("json", "none").dumps([1]) == "[1]"


@pytest.mark.parametrize("package", ["no_such_package", "no_such_package.part"])
def test_a_missing_package_says_how_to_install_it(package: str) -> None:
    with pytest.raises(MissingExtra) as missing:
        require(package, "train", "greenroom train")
    assert str(missing.value).startswith("greenroom train needs the extra 'train'")
    assert "pip install 'greenroom[train]'" in str(missing.value)
    assert missing.value.extra == "train" and missing.value.exit_code == 2
