"""Runs the cells of a notebook in their order, without Jupyter.

    python3 cells.py NOTEBOOK             compares what they print with what the notebook shows
    python3 cells.py NOTEBOOK --update    writes it into the notebook

A cell that raises ends it, and so does one that prints something else.
"""

import ast
import contextlib
import io
import json
import pathlib
import sys


def run(source, names):
    """What a cell prints, and the value of its last line, as Jupyter shows it."""
    tree, out = ast.parse(source), io.StringIO()
    last = ast.Expression(tree.body.pop().value) if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    with contextlib.redirect_stdout(out):
        exec(compile(tree, "cell", "exec"), names)
        value = None if last is None else eval(compile(last, "cell", "eval"), names)
    return out.getvalue(), None if value is None else repr(value)


def outputs(text, value, count):
    """The same in a notebook's form (nbformat 4)."""
    shown = []
    if text:
        shown.append({"name": "stdout", "output_type": "stream", "text": text.splitlines(keepends=True)})
    if value is not None:
        shown.append({"data": {"text/plain": value.splitlines(keepends=True)}, "execution_count": count, "metadata": {}, "output_type": "execute_result"})
    return shown


def main(file, update):
    page = json.loads(file.read_text("utf-8"))
    names = {"__name__": "__main__"}
    cells = [c for c in page["cells"] if c["cell_type"] == "code"]
    for n, cell in enumerate(cells, 1):
        source = "".join(cell["source"])
        now = outputs(*run(source, names), n)
        if not update and now != cell["outputs"]:
            sys.exit(f"cell {n}\n{source}\n--- shows\n{json.dumps(cell['outputs'], indent=1)}\n--- and prints\n{json.dumps(now, indent=1)}")
        cell["outputs"], cell["execution_count"] = now, n
    if update:
        file.write_text(json.dumps(page, indent=1, ensure_ascii=False) + "\n", "utf-8")
    print(f"{len(cells)} cells, {'written' if update else 'as they are shown'}")


main(pathlib.Path(sys.argv[1]), "--update" in sys.argv)
