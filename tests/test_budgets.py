"""Guards of the house's budgets: size of files, functions, classes and signatures, and plain names.

Each list of exceptions has a reason per entry and may only shrink: an entry that is no longer needed
fails its test.
"""

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "src" / "greenroom"
FILE_LINES, FUNCTION_LINES, METHODS, PARAMETERS, POSITIONAL = 400, 50, 15, 6, 4
EVERYDAY_WORDS = frozenset(
    "said told found one whole seen there known given went kept held made says tells got came put gone "
    "shown asked heard begun".split()
)
"""Words that say nothing of what a value holds."""
EVERYDAY_SHARE = 0.003
DRAWERS = {"utils", "util", "common", "helpers", "helper", "misc"}
MOST_EXCEPTIONS = 10

LONG_FILES: dict[str, str] = {
    "capture/formats/bvh.py": "one format is one file: reader and writer share tree and limits",
}
LONG_FUNCTIONS: dict[str, str] = {
    "monitoring/reference.py:fit_reference": "each line is one statistic of the same windows",
    "stage/server.py:create_app": "one route after another, each of two or three lines",
    "stage/receiver.py:routes": "one route with its checks, in the order in which they are made",
    "rehearsal/sandbox.py:compare": "the life of a comparison in its order",
}
LARGE_CLASSES: dict[str, str] = {
    "live/supervisor.py:EngineSupervisor": "one state machine of processes",
}
_COMMAND = "a command's parameters are its options, which click gives by name"
WIDE_SIGNATURES: dict[str, str] = {
    "cli/approvals.py:policy_command": _COMMAND,
    "cli/experiments.py:search_command": _COMMAND,
    "cli/learning.py:retrain_command": _COMMAND,
    "cli/models.py:train_command": _COMMAND,
    "cli/models.py:validate_command": _COMMAND,
    "cli/rehearsals.py:sandbox_command": _COMMAND,
    "cli/shows.py:perform_command": _COMMAND,
    "cli/shows.py:demo_command": _COMMAND,
    "cli/takes.py:ingest_command": _COMMAND,
    "datasets/build.py:build_dataset": "each says one thing of the dataset, and most calls give four",
}
POSITIONAL_CALLS: dict[str, str] = {
    "features/speech.py:np.ndarray": "NumPy's own constructor, whose arguments have no other names",
}

Function = ast.FunctionDef | ast.AsyncFunctionDef


def modules() -> Iterator[tuple[str, ast.Module, str]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        text = path.read_text()
        yield path.relative_to(PACKAGE).as_posix(), ast.parse(text), text


def definitions(
    tree: ast.AST, prefix: str = ""
) -> Iterator[tuple[str, Function | ast.ClassDef, bool]]:
    """Yield (qualified name, node, whether it is a method) of every function and class."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            name = f"{prefix}{node.name}"
            yield name, node, isinstance(tree, ast.ClassDef)
            yield from definitions(node, name + ".")
        else:
            yield from definitions(node, prefix)


def check(over: dict[str, int], exceptions: dict[str, str]) -> None:
    """Fail where something is over its budget without a reason, or a reason has outlived its use."""
    assert all(len(reason) > 20 for reason in exceptions.values())
    assert len(exceptions) <= MOST_EXCEPTIONS
    assert not {name: size for name, size in over.items() if name not in exceptions}
    assert not set(exceptions) - set(over), "remove these exceptions: they are within the budget"


def test_files_are_short() -> None:
    lines = {name: text.count("\n") for name, _, text in modules()}
    check({name: count for name, count in lines.items() if count > FILE_LINES}, LONG_FILES)


def test_functions_are_short() -> None:
    over = {}
    for module, tree, _ in modules():
        for name, node, _ in definitions(tree):
            lines = (node.end_lineno or 0) - node.lineno + 1
            if not isinstance(node, ast.ClassDef) and lines > FUNCTION_LINES:
                over[f"{module}:{name}"] = lines
    check(over, LONG_FUNCTIONS)


def test_classes_are_small() -> None:
    over = {}
    for module, tree, _ in modules():
        for name, node, _ in definitions(tree):
            if isinstance(node, ast.ClassDef):
                methods = sum(isinstance(item, Function) for item in node.body)
                if methods > METHODS:
                    over[f"{module}:{name}"] = methods
    check(over, LARGE_CLASSES)


def test_signatures_are_narrow() -> None:
    over = {}
    for module, tree, _ in modules():
        for name, node, method in definitions(tree):
            if isinstance(node, ast.ClassDef):
                continue
            args = node.args
            static = any(getattr(d, "id", "") == "staticmethod" for d in node.decorator_list)
            count = len(args.posonlyargs) + len(args.args) + len(args.kwonlyargs)
            count -= 1 if method and not static else 0
            if count > PARAMETERS:
                over[f"{module}:{name}"] = count
    check(over, WIDE_SIGNATURES)


def test_calls_name_their_arguments() -> None:
    """A call gives at most four arguments by position; the others by name."""
    over = {}
    for module, tree, _ in modules():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and len(node.args) > POSITIONAL:
                if not any(isinstance(arg, ast.Starred) for arg in node.args):
                    over[f"{module}:{ast.unparse(node.func)}"] = len(node.args)
    check(over, POSITIONAL_CALLS)


def test_public_classes_have_names_of_their_own() -> None:
    places = defaultdict(list)
    for module, tree, _ in modules():
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(module)
    assert not {name: where for name, where in places.items() if len(where) > 1}


def test_no_module_is_a_drawer() -> None:
    paths = [Path(module).with_suffix("") for module, _, _ in modules()]
    assert not [path for path in paths if DRAWERS & set(path.parts)]


def bindings(tree: ast.AST) -> Iterator[str]:
    """Yield the name of every variable, parameter and attribute that a module binds."""
    for node in ast.walk(tree):
        targets: list[ast.expr] = []
        if isinstance(node, ast.Assign):
            targets = node.targets
        elif isinstance(node, ast.AnnAssign | ast.AugAssign | ast.NamedExpr | ast.For):
            targets = [node.target]
        elif isinstance(node, ast.comprehension):
            targets = [node.target]
        elif isinstance(node, ast.arg):
            yield node.arg
        for target in targets:
            for part in ast.walk(target):
                if isinstance(part, ast.Name):
                    yield part.id
                elif isinstance(part, ast.Attribute) and part is target:
                    yield part.attr


def test_values_are_named_by_what_they_hold() -> None:
    names = [(module, name.strip("_")) for module, tree, _ in modules() for name in bindings(tree)]
    everyday = [f"{module}: {name}" for module, name in names if name in EVERYDAY_WORDS]
    assert len(everyday) <= EVERYDAY_SHARE * len(names), everyday
