"""What is advised here is of this package: nothing says to give a flag to a command."""

from __future__ import annotations

import pathlib
import re
from typing import Any

import pytest
from conftest import REPO, Box

import blindbox
from blindbox.errors import advice, in_python

# Pages of what only the command does: nothing is advised here that is about its flags alone.
OF_THE_COMMAND = {"BBX-107", "BBX-121", "BBX-308"}


@pytest.mark.parametrize("page", sorted((REPO / "docs" / "errors").glob("BBX-*.md")), ids=lambda page: page.stem)
def test_every_page(page: pathlib.Path) -> None:
    told = page.read_text("utf-8").partition("## What to do\n")[2].partition("\n## ")[0].strip()
    assert told
    said = advice(told)
    commands = re.sub(r"`(blindbox|boxd) [^`]*`", "", said)
    assert "--" not in commands and "--help" not in said, said
    assert said or page.stem in OF_THE_COMMAND, f"nothing is left of: {told}"


@pytest.mark.parametrize(
    "there, here",
    [
        ("`--timeout` bounds the wait.", "`verify_timeout=` bounds the wait."),
        ("Give it: `--at TIME`.", "Give it: `at=TIME`."),
        ("--cert and --key, expected both or none", "cert= and key=, expected both or none"),
        ("no --trust and no ./trust.yaml", "no trust= and no ./trust.yaml"),
        ("Write `blindbox trust init URL --out new.yaml`.", "Write `blindbox trust init URL --out new.yaml`."),
        ("one --fault", "one --fault"),
    ],
)
def test_arguments(there: str, here: str) -> None:
    assert in_python(there) == here


def test_sentences() -> None:
    assert advice("Try again. `--fail` ends it. Ask the operator.") == "Try again. Ask the operator."
    assert advice("Read it. `blindbox connect --help` has more.") == "Read it."
    assert advice("`--fail` ends it.") == "" == advice("")


def test_what_people_meet(box: Box, tmp_path: pathlib.Path) -> None:
    calls: Any = [
        ("verify_timeout=", {"trust": box.trust, "addr": "https://127.0.0.1:1"}),
        ("no trust= and no", {"addr": box.url}),
        ("cert= and key=", {"trust": box.trust, "addr": box.url, "cert": tmp_path / "cert.pem"}),
    ]
    for text, arguments in calls:
        with pytest.raises(blindbox.BlindBoxError) as refused:
            blindbox.connect(**arguments)
        said = str(refused.value)
        assert text in said and "--" not in re.sub(r"`(blindbox|boxd) [^`]*`", "", said), said
