"""The package itself: its stubs, its command, what it needs, how fast it is imported."""

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import stepwell
from stepwell import _native

STUBS = Path(stepwell.__file__).with_name("_native.pyi")


def described():
    """Names of the stub file: of each function its parameters, of each class its members."""
    tree = ast.parse(STUBS.read_text())
    found = {}

    def parameters(function):
        arguments = function.args
        names = [arg.arg for arg in arguments.posonlyargs + arguments.args + arguments.kwonlyargs]
        return [name for name in names if name not in ("self", "cls")]

    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            found[node.name] = parameters(node)
        elif isinstance(node, ast.ClassDef):
            found[node.name] = {
                item.name: parameters(item) for item in node.body if isinstance(item, ast.FunctionDef)
            }
        elif isinstance(node, ast.AnnAssign):
            found[node.target.id] = None
    return found


def there():
    """The same of the module."""

    def parameters(function):
        signature = inspect.signature(function)
        kinds = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
        return [name for name, one in signature.parameters.items() if name != "self" and one.kind not in kinds]

    skipped = {"__new__", "__doc__", "__module__"}
    found = {}
    for name, thing in vars(_native).items():
        if name.startswith("__") and name != "__version__":
            continue
        if inspect.isclass(thing):
            members = {}
            for member, what in vars(thing).items():
                if member in skipped or isinstance(what, type(object.__lt__)):
                    members[member] = [] if member not in skipped else None
                elif callable(what):
                    members[member] = parameters(what)
                else:
                    members[member] = []
            found[name] = {member: names for member, names in members.items() if names is not None}
        elif callable(thing):
            found[name] = parameters(thing)
        else:
            found[name] = None
    return found


def test_the_stubs_say_what_is_there():
    stubs, module = described(), there()
    stubs = {name: what for name, what in stubs.items() if name == "__version__" or not name.startswith("_")}
    module = {name: what for name, what in module.items() if name == "__version__" or not name.startswith("_")}
    assert set(stubs) == set(module)
    for name, members in module.items():
        if not isinstance(members, dict):
            assert stubs[name] == members, name
            continue
        public = {member for member in members if not member.startswith("__") or member in ("__getitem__", "__len__")}
        documented = {member for member in stubs[name] if not member.startswith("__") or member in public}
        assert documented == public, name
        for member in public:
            if not member.startswith("__"):
                assert stubs[name][member] == members[member], f"{name}.{member}"


def test_every_public_thing_has_a_sentence():
    for name in stepwell.__all__:
        thing = getattr(stepwell, name)
        if name == "__version__":
            continue
        assert inspect.getdoc(thing), name
        if inspect.isclass(thing):
            for member, what in inspect.getmembers(thing):
                if not member.startswith("_") and not issubclass(thing, BaseException):
                    assert inspect.getdoc(what), f"{name}.{member}"


def command(*arguments):
    return subprocess.run([sys.executable, "-m", "stepwell", *arguments], capture_output=True, text=True, timeout=60)


def test_the_command_is_in_the_wheel(ws, folder):
    with ws.run(name="first") as run:
        run.log("loss", 0.5, 0)
    shown = command("-w", folder, "show", run.id)
    assert shown.returncode == 0 and "first" in shown.stdout
    assert command("--version").stdout.strip() == f"stepwell {stepwell.__version__}"
    assert command("-w", folder, "show", "nope").returncode == 3
    assert command("frobnicate").returncode == 2


def test_the_package_needs_nothing_else():
    code = "import sys; before = set(sys.modules); import stepwell; print(sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-S", "-c", f"import sys; sys.path.append({str(STUBS.parents[1])!r}); {code}"],
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    for heavy in ("numpy", "pandas", "pyarrow", "mlflow", "asyncio", "json"):
        assert f"'{heavy}'" not in done.stdout


def test_subinterpreters_are_refused():
    interpreters = pytest.importorskip("_xxsubinterpreters" if sys.version_info < (3, 13) else "_interpreters")
    one = interpreters.create()
    path = str(STUBS.parents[1])
    with pytest.raises(Exception, match="subinterpreter"):
        result = interpreters.run_string(one, f"import sys; sys.path.insert(0, {path!r}); import stepwell")
        if result is not None:
            raise RuntimeError(str(result))
