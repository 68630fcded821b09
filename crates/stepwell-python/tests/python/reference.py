"""Renders docs/python-api.md: every public name of the package with its signature, its types and its documentation.

Types of what is written in Rust come from the stubs, since a compiled method has none.
"""

import ast
import importlib
import inspect
import re
from pathlib import Path

import stepwell

# What the stubs call by names of their own.
ALIASES = {"_Step": "Step", "_Values": "FloatArray", "_Integers": "IntArray"}
PACKAGE = Path(stepwell.__file__).parent
GROUPS = [
    ("Opening and writing", ["open", "Workspace", "Run", "Metric", "_device.DeviceBuffer"]),
    ("Reading", ["RunView", "Series", "Plot", "Table", "Column", "_follow.Changes"]),
    ("Servers", ["RemoteWorkspace"]),
    ("Errors", [name for name in stepwell.__all__ if name.endswith(("Error", "Warning"))]),
]
MODULES = [
    ("MLflow without a server", "mlflow", ["_frame.py", "__init__.py", "_address.py"]),
    ("TensorBoard's writer", "tensorboard", ["../tensorboard.py"]),
    ("Keras", "keras", ["../keras.py"]),
    ("Hugging Face", "huggingface", ["../huggingface.py"]),
    ("Lightning", "lightning", ["../lightning.py"]),
]
HEAD = """# Python reference

Every public name of the package, from its docstrings. [docs/python.md](python.md) is the guide.

- `Step` is an integer of 64 bits, or a float without a fraction.
- `FloatArray` and `IntArray` have one dimension: numpy arrays, tensors on the CPU, Arrow arrays, buffers, sequences.
- Times are milliseconds since the epoch, timeouts seconds.
- A logging call raises only in a run that is `strict`: see [When logging fails](python.md#when-logging-fails).
  All other calls raise [errors](#errors) of the package, or `TypeError`.
"""


def page():
    """The whole page."""
    parts = [HEAD]
    for title, names in GROUPS:
        parts.append(f"## {title}\n")
        for name in names:
            module, _, own = name.rpartition(".")
            holder = importlib.import_module(f"stepwell.{module}") if module else stepwell
            parts.append(_thing(own, getattr(holder, own)))
    for title, module, files in MODULES:
        parts.append(f"## {title}\n")
        parts += _of_sources(module, [PACKAGE / "mlflow" / file for file in files])
    return re.sub(r"\n{3,}", "\n\n", "\n".join(parts)).rstrip() + "\n"


def _thing(name, thing):
    if not inspect.isclass(thing):
        return f"### `stepwell.{name}{_signature(_definition(thing.__module__, name))}`\n\n{_prose(inspect.getdoc(thing))}\n"
    base = thing.__base__.__name__
    parts = [f"### `{name}({base})`" if issubclass(thing, BaseException) else f"### `{name}`", ""]
    parts += [_prose(inspect.getdoc(thing)), ""]
    if not issubclass(thing, BaseException):
        members = [_member(thing, member) for member in sorted(dir(thing)) if _is_public(member, thing)]
        if thing is stepwell.RemoteWorkspace:
            # What differs from a folder; the rest stands there.
            folder = {_member(stepwell.Workspace, one) for one in dir(thing) if _is_public(one, stepwell.Workspace)}
            members = [one for one in members if one.replace("RemoteWorkspace.", "Workspace.", 1) not in folder]
            parts += ["The other calls are those of [`Workspace`](#workspace).", ""]
        for one in members:
            parts += [one, ""]
    return "\n".join(parts)


def _is_public(member, thing):
    return not member.startswith("_") and any(
        member in vars(owner) for owner in thing.__mro__ if owner.__module__.startswith("stepwell")
    )


def _member(thing, member):
    owner = next(owner for owner in thing.__mro__ if member in vars(owner))
    definition = _definition(owner.__module__, owner.__name__, member)
    text = _prose(inspect.getdoc(inspect.getattr_static(thing, member)))
    return f"#### `{thing.__name__}.{member}{_signature(definition)}`\n\n{text}"


def _definition(module, *path):
    """The syntax of a function: in the module's source, or in the stubs where it is compiled."""
    source = PACKAGE.parent / (module.replace(".", "/") + ".py")
    if not source.exists() or not (found := _find(source, path)):
        found = _find(PACKAGE / "_native.pyi", path)
    assert found, (module, path)
    return found


def _find(source, path):
    nodes = ast.parse(source.read_text()).body
    found = None
    for name in path:
        found = next((node for node in nodes if getattr(node, "name", None) == name), None)
        if found is None:
            return None
        nodes = getattr(found, "body", [])
    return found


def _signature(definition):
    """What a call takes and gives; of a property, its type."""
    returns = ast.unparse(definition.returns) if definition.returns else ""
    if any("property" in ast.unparse(decorator) for decorator in definition.decorator_list):
        return f": {returns}"
    arguments = definition.args
    for group in (arguments.posonlyargs, arguments.args):
        if group and group[0].arg in ("self", "cls"):
            group.pop(0)
            break
    text = f"({ast.unparse(arguments).removeprefix('/, ')})" + (f" -> {returns}" if returns else "")
    return re.sub(r"_\w+", lambda name: ALIASES.get(name[0], name[0]), text)


def _of_sources(module, files):
    """Public classes and functions of modules that need a framework to be imported: read, not imported."""
    parts = []
    for file in files:
        tree = ast.parse(file.read_text())
        wanted = next((node for node in tree.body if _is_assigned(node, "__all__")), None)
        names = ast.literal_eval(wanted.value) if wanted else None
        for node in tree.body:
            if not isinstance(node, (ast.ClassDef, ast.FunctionDef)) or node.name.startswith("_"):
                continue
            if names is not None and node.name not in names:
                continue
            if isinstance(node, ast.FunctionDef):
                parts.append(f"### `stepwell.{module}.{node.name}{_signature(node)}`\n\n{_prose(ast.get_docstring(node))}\n")
                continue
            parts.append(f"### `stepwell.{module}.{node.name}`\n\n{_prose(ast.get_docstring(node))}\n")
            for member in node.body:
                text = isinstance(member, ast.FunctionDef) and ast.get_docstring(member)
                if text and (member.name == "__init__" or not member.name.startswith("_")):
                    own = node.name if member.name == "__init__" else f"{node.name}.{member.name}"
                    parts.append(f"#### `{own}{_signature(member)}`\n\n{_prose(text)}\n")
    return parts


def _is_assigned(node, name):
    return isinstance(node, ast.Assign) and getattr(node.targets[0], "id", None) == name


def _prose(text):
    """A docstring as Markdown: lines such as `name: what it is` become a list."""
    lines, listed = [], False
    for line in (text or "").splitlines():
        named = re.match(r"([a-z_]\w*(?:, [a-z_]\w*)*): (.*)", line)
        if named:
            if lines and not listed:
                lines.append("")
            listed = True
            lines.append("- " + ", ".join(f"`{name}`" for name in named[1].split(", ")) + f": {named[2]}")
        elif listed and line.startswith("    "):
            lines.append("  " + line.strip())
        else:
            listed = listed and not line
            lines.append(line)
    return "\n".join(lines).strip()
