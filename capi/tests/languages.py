"""Runs the examples of other languages, each by the commands of its README.

An example whose language or client is missing on this machine is skipped with a line that says so.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 180
# For each example, a command that succeeds if its language and its client are here, and their
# names.
NEEDS = {
    "dotnet": ("command -v mcs && command -v mono", "Mono"),
    "go": ("command -v go && [ -d /usr/share/gocode/src/github.com/bradfitz/gomemcache ]", "Go and gomemcache"),
    "java": ("command -v javac && cd /usr/share/java && ls jna.jar spymemcached.jar", "a JDK, JNA and spymemcached"),
    "php": ("php -r 'exit((int) !(class_exists(\"FFI\") && class_exists(\"Memcached\")));'", "PHP, FFI and Memcached"),
    "ruby": ("ruby -e 'require \"ffi\"; require \"dalli\"; require \"minitest\"'", "Ruby, ffi, minitest and Dalli"),
}


def check_languages(place: Path, environment: dict[str, str]) -> int:
    """Runs every example, and returns their number. `environment` finds the installed library."""
    count = 0
    for language, (probe, needs) in NEEDS.items():
        if subprocess.run(["bash", "-c", probe], capture_output=True, check=False).returncode != 0:
            print(f"skipped: examples/{language} needs {needs}")
            continue
        source = ROOT / "examples" / language
        [commands] = re.findall(r"^```sh\n(.*?)^```$", (source / "README.md").read_text(), flags=re.S | re.M)
        copy = place / f"language-{language}"
        shutil.copytree(source, copy)
        cache = {"GOCACHE": str(ROOT / "target/go-cache"), "GOFLAGS": "", "GOTOOLCHAIN": "local"}
        done = subprocess.run(["bash", "-euc", commands], cwd=copy, env={**os.environ, **cache, **environment},
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=PATIENCE)
        if done.returncode != 0:
            raise RuntimeError(f"examples/{language}:\n{done.stdout}")
        count += 1
    return count
