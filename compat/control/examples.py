"""Runs the examples of examples/control, each by its commands in the README."""

import os
import pathlib
import re
import shutil
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples" / "control"
PATIENCE = 180
#: For each example, a command that succeeds if its language and its client are here, and their
#: names.
NEEDS = {
    "shell": ("command -v bash && command -v curl", "bash and curl"),
    "go": ("command -v go && ls /usr/share/gocode/src/github.com/bradfitz/gomemcache", "Go and gomemcache"),
    "php": ("php -r 'exit((int) !class_exists(\"Memcached\"));'", "PHP and Memcached"),
    "java": ("command -v javac && ls /usr/share/java/spymemcached.jar", "a JDK and spymemcached"),
}


def check_examples(program: str, place: pathlib.Path) -> int:
    """Runs each example with a daemon, and returns their number."""
    blocks = re.findall(r"^```sh\n(.*?)^```$", (EXAMPLES / "README.md").read_text(), flags=re.S | re.M)
    assert len(blocks) == len(NEEDS), blocks
    own = {"MEMCACHED_RS": program, "GOCACHE": str(ROOT / "target/go-cache"), "GOFLAGS": "", "GOTOOLCHAIN": "local"}
    count = 0
    for (language, (probe, needs)), commands in zip(NEEDS.items(), blocks, strict=True):
        assert language in commands, (language, commands)
        if subprocess.run(["bash", "-c", probe], capture_output=True, check=False).returncode != 0:
            print(f"skipped: examples/control/{language} needs {needs}")
            continue
        copy = place / language
        shutil.copytree(EXAMPLES, copy)
        done = subprocess.run(["bash", "-euc", commands], cwd=copy, env={**os.environ, **own}, timeout=PATIENCE,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        assert done.returncode == 0, f"examples/control/{language}:\n{done.stdout}"
        count += 1
    return count
