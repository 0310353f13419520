"""Where is the program that verifies boxes, and how is it run as a command?"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import NoReturn, Optional

from .errors import SidecarError

VARIABLE = "BLINDBOX_BINARY"


def find(named: Optional[str] = None) -> str:
    """The path of ``blindbox``: the one that is named, or that BLINDBOX_BINARY names, or that
    the wheel has brought, or on the PATH."""
    for wanted, source in ((named, "binary="), (os.environ.get(VARIABLE), VARIABLE)):
        if wanted:
            found = shutil.which(wanted)
            if found is None:
                raise SidecarError(
                    "no program", seen=f"{source} {wanted}", expected="the program blindbox", nothing_sent=True
                )
            return found
    name = "blindbox.exe" if sys.platform == "win32" else "blindbox"
    carried = os.path.join(os.path.dirname(os.path.abspath(__file__)), "bin", name)
    if os.access(carried, os.X_OK):
        return carried
    on_path = shutil.which("blindbox")
    # The command that this package itself installs only starts what was looked for above.
    if on_path is None or _is_own_command(on_path):
        raise SidecarError(
            "the program blindbox is not there",
            seen="no wheel for this platform has brought it, and it is not on the PATH",
            fix=f"Install a wheel with it, or build it (make build) and name it in {VARIABLE}.",
            nothing_sent=True,
        )
    return on_path


def _is_own_command(path: str) -> bool:
    try:
        with open(path, "rb") as f:
            return f.read(2) == b"#!"
    except OSError:
        return False


def main() -> NoReturn:
    """The command ``blindbox``, and ``python -m blindbox``."""
    try:
        binary = find()
    except SidecarError as e:
        print(e, file=sys.stderr)
        raise SystemExit(1) from None
    args = [binary, *sys.argv[1:]]
    if sys.platform != "win32":
        os.execv(binary, args)
    raise SystemExit(subprocess.call(args))
