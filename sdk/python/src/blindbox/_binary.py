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
    for wanted, source in ((named, "binary="), (os.environ.get(VARIABLE), VARIABLE + "=")):
        if wanted:
            found = os.path.abspath(wanted) if os.path.dirname(wanted) else on_path(wanted)
            if found is None or shutil.which(found) is None:
                raise SidecarError(
                    "the program blindbox is not there",
                    seen=f"{source} {wanted}",
                    expected="the path of the program, or its name on the PATH",
                    fix=f"Leave {source} out if a wheel has brought it; else build it (make build) and name it there.",
                    nothing_sent=True,
                )
            return found
    name = "blindbox.exe" if sys.platform == "win32" else "blindbox"
    carried = os.path.join(os.path.dirname(os.path.abspath(__file__)), "bin", name)
    if os.access(carried, os.X_OK):
        return carried
    found = on_path("blindbox")
    # The command that this package itself installs only starts what was looked for above.
    if found is None or _is_own_command(found):
        raise SidecarError(
            "the program blindbox is not there",
            seen="no wheel for this platform has brought it, and it is not on the PATH",
            fix=f"Install a wheel with it, or build it (make build) and name it in {VARIABLE}.",
            nothing_sent=True,
        )
    return found


def on_path(name: str) -> Optional[str]:
    """Where a program is on the PATH, whose folders count if they are the same ones wherever
    this process is: a program that lies in the current folder, which Windows looks into
    first, may be a stranger's, and it would vouch for any box."""
    if sys.platform == "win32" and not os.path.splitext(name)[1]:
        name += ".exe"
    for folder in os.get_exec_path():
        found = shutil.which(os.path.join(folder, name)) if os.path.isabs(folder) else None
        if found is not None:
            return found
    return None


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
