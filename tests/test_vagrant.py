"""The Vagrantfile is one that Vagrant accepts, and the commands in it are ours."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent


def test_vagrantfile_is_valid(tmp_path: Path) -> None:
    # No provider is installed where the tests run; which one there is does not make the file right or wrong.
    done = subprocess.run(
        ["vagrant", "validate", "--ignore-provider"],
        cwd=CHECKOUT,
        env={
            **os.environ,
            "VAGRANT_HOME": str(tmp_path),
            "VAGRANT_DOTFILE_PATH": str(tmp_path / "dot"),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert "validated successfully" in done.stdout


def test_machine_is_set_up_by_the_script_of_the_demo() -> None:
    scripts = re.findall(r"deploy/\S+", (CHECKOUT / "Vagrantfile").read_text())
    assert scripts == ["deploy/setup.sh"]
    assert "deploy/setup.sh demo" in (CHECKOUT / "Makefile").read_text()
