"""`python -m benchmarks` lists the benchmarks, each with the first line of its docstring."""

import ast
from pathlib import Path

for path in sorted(Path(__file__).parent.glob("[!_]*.py")):
    docstring = ast.get_docstring(ast.parse(path.read_text())) or ""
    print(f"make bench NAME={path.stem:<16} {docstring.partition(chr(10))[0]}")
