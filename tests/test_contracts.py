import numpy as np

from greenroom.contracts import ModelShape, flat_width, get_tensors

SHAPE = ModelShape(joints=3, state=22, speech_channels=5)


def test_tensors_lie_side_by_side_in_one_row() -> None:
    shapes = SHAPE.inputs()
    flat = np.arange(flat_width(shapes), dtype=np.float32)
    tensors = get_tensors(flat, shapes)
    assert {name: t.shape for name, t in tensors.items()} == {
        name: (1, *shape) for name, shape in shapes.items()
    }
    assert np.concatenate([t.reshape(-1) for t in tensors.values()]).tolist() == flat.tolist()
    tensors["noise"][:] = -1  # views: what is written to one is in the row
    assert (flat[-SHAPE.noise :] == -1).all()


def test_a_shape_comes_back_from_its_manifest() -> None:
    assert ModelShape.load(SHAPE.manifest()) == SHAPE
