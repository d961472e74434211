"""Leave out what needs an extra that is not installed: its doctests cannot be imported."""

from importlib.util import find_spec

collect_ignore_glob = (
    []
    if find_spec("torch")
    else [
        "src/greenroom/training/*",
        "src/greenroom/networks/*",
        "src/greenroom/adaptation/onnx_surgery.py",
        "src/greenroom/validation/search_trials.py",
    ]
)
