"""The one entry of a folder of benchmarks: `python -m benchmarks.FOLDER NAME ...` runs NAME.py's main()."""

import ast
import importlib
import sys
from pathlib import Path


def listed(folder: str) -> dict[str, str]:
    """name -> the first line of its docstring, of every file of the folder that has a main(); nothing is imported."""
    found = {}
    for path in sorted(Path(__file__).with_name(folder).glob("*.py")):
        tree = ast.parse(path.read_text())
        if any(isinstance(node, ast.FunctionDef) and node.name == "main" for node in tree.body):
            found[path.stem] = (ast.get_docstring(tree) or "").partition("\n")[0]
    return found


def run(folder: str) -> int:
    """Run what the command line asks for; its exit code."""
    command, words = f"python -m benchmarks.{folder}", sys.argv[1:]
    benchmarks = listed(folder)
    width = max(map(len, benchmarks))
    lines = [f"  {name:<{width}}  {about}" for name, about in benchmarks.items()]
    if not words or words[0] in ("--list", "-h", "--help"):
        print("\n".join([f"{command} NAME [options], and --help for those:", *lines]))
        return 0
    name = words[0]
    if name not in benchmarks:
        print(f"{command}: no benchmark is called {name}; there are {', '.join(benchmarks)}", file=sys.stderr)
        return 2
    sys.argv = [f"{command} {name}", *words[1:]]  # argparse and the results' first lines say the whole command
    return importlib.import_module(f"benchmarks.{folder}.{name}").main() or 0
