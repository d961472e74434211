"""Fixtures of training, which these tests share."""

from tests.training.conftest import four_clips, studio

__all__ = ["four_clips", "studio"]
