"""Initial weights of another model."""

import pytest

from tests.networks.example_network import example_network

pytestmark = pytest.mark.train


def test_a_part_of_another_size_begins_afresh_as_a_whole() -> None:
    import torch

    from greenroom.training.fit import load_matching_weights

    one, other = example_network(), example_network()
    start = {name: torch.full_like(w, 7.0) for name, w in one.named_parameters()}
    start["trunk.input_layer.weight"] = start["trunk.input_layer.weight"][:, 1:]
    assert load_matching_weights(other, start) == ["trunk"]
    assert load_matching_weights(
        example_network(), {n: w for n, w in start.items() if n != "position"}
    ) == [
        "position",
        "trunk",
    ]
    mine = dict(one.named_parameters())
    for name, weight in other.named_parameters():
        new = torch.equal(weight, mine[name])
        assert new == name.startswith("trunk."), name
