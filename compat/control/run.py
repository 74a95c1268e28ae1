#!/usr/bin/env python3
"""Tests the control service of a daemon: its description, hostile clients, and the examples.

usage: run.py DAEMON

scripts/setup.sh installs what it needs, and target/venv/bin/python runs this file.
"""

import pathlib
import sys
import tempfile

from contract import check_contract
from examples import check_examples
from hostile import check_hostile


def main() -> None:
    program = str(pathlib.Path(sys.argv[1]).resolve())
    with tempfile.TemporaryDirectory() as name:
        place = pathlib.Path(name)
        check_contract(program, place)
        print("control: the service is as described")
        print(f"control: {check_examples(program, place)} examples pass")
        print(f"control: {check_hostile(program, place)} attacks, and the cache answers")


if __name__ == "__main__":
    main()
