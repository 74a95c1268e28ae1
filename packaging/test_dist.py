"""Installs each artefact of a release into an empty place, without Rust, and uses it.

    test_dist.py DIST [PART ...]    `make dist` made DIST; each PART is a function test_PART below

The commands are those of docs/install.md. Prints a line for each part with its time. Parts that
need root for a chroot are skipped without it.
"""

import functools
import json
import os
import platform
import re
import select
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dockerfile_parse import DockerfileParser
from licences import linked
from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parent.parent
PATIENCE = 120
# The release of Debian that the package is built on and for.
SUITE = "bookworm"
SYSTEM_PATH = "/usr/bin:/bin:/usr/sbin:/sbin"


class Skipped(Exception):
    """A part that this machine cannot test, with the reason."""


def run(command: list, **options) -> str:
    words = [str(word) for word in command]
    done = subprocess.run(
        words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=PATIENCE, **options
    )
    if done.returncode != 0:
        raise RuntimeError(f"failed ({done.returncode}): {' '.join(words)}\n{done.stdout}")
    return done.stdout


def check(holds: bool, fault: str) -> None:
    if not holds:
        raise RuntimeError(fault)


def only(dist: Path, pattern: str) -> Path:
    """The one file of a release with such a name."""
    found = list(dist.glob(pattern))
    check(len(found) == 1, f"{dist} must have one {pattern}, got {[path.name for path in found]}")
    return found[0]


def environment(place: Path) -> dict[str, str]:
    """The environment of a user without Rust and registries: a new home, the system, and Node."""
    programs = place / "local/bin"
    programs.mkdir(parents=True)
    for name in ["node", "npm", "npx"]:
        if found := shutil.which(name):
            (programs / name).symlink_to(Path(found).resolve())
    path = f"{programs}:{SYSTEM_PATH}"
    for name in ["cargo", "rustc"]:
        check(shutil.which(name, path=path) is None, f"{name} must not be in {path}")
    libraries = place / "local/lib"
    found = {"PKG_CONFIG_PATH": f"{libraries}/pkgconfig", "LD_LIBRARY_PATH": str(libraries)}
    offline = {"PIP_NO_INDEX": "1", "npm_config_offline": "true"}
    return {"PATH": path, "HOME": str(place), "LC_ALL": "C.UTF-8", **found, **offline}


def recipe(heading: str) -> str:
    """The first commands of docs/install.md below a heading."""
    text = (ROOT / "docs/install.md").read_text()
    found = re.search(rf"^## {heading}\n(?:(?!^## ).)*?^```console\n(.*?)^```$", text, re.S | re.M)
    check(found is not None, f"docs/install.md must have commands below {heading}")
    return found[1]


def install(heading: str, dist: Path, place: Path, user: dict[str, str]) -> str:
    """Carries out a recipe beside the files of the release, with `place/local` for /usr/local."""
    for file in dist.iterdir():
        (place / file.name).symlink_to(file)
    commands = recipe(heading).replace("sudo ldconfig\n", "").replace("sudo ", "")
    return run(["bash", "-euc", commands.replace("/usr/local", str(place / "local"))], env=user, cwd=place)


def need_root() -> None:
    if os.geteuid() != 0:
        raise Skipped("a chroot needs root")


def add_random(root: Path) -> None:
    """Adds the devices that a static program with glibc reads random numbers from."""
    (root / "dev").mkdir()
    for name, minor in [("random", 8), ("urandom", 9)]:
        device = root / "dev" / name
        os.mknod(device, stat.S_IFCHR, os.makedev(1, minor))
        device.chmod(0o666)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def server(command: list, **options) -> Iterator[int]:
    """Runs a server until the end of the block. Returns its port on loopback."""
    words = [str(word) for word in command]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True, **options)
    said = ""
    try:
        while not (listens := re.search(r" listens on \S*?:(\d+)", said)):
            ready, _, _ = select.select([process.stderr], [], [], PATIENCE)
            line = process.stderr.readline() if ready else ""
            check(bool(line), f"{' '.join(words)} does not listen:\n{said}")
            said += line
        yield int(listens[1])
        process.terminate()
        _, rest = process.communicate(timeout=PATIENCE)
        check(process.returncode == 0, f"{' '.join(words)} ended with status {process.returncode}:\n{said}{rest}")
    finally:
        process.kill()
        process.wait()


def exchange(port: int) -> None:
    """Stores a value and reads it."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as client:
        client.sendall(b"set greeting 0 60 5\r\nhello\r\nget greeting\r\nquit\r\n")
        replies = b"".join(iter(functools.partial(client.recv, 4096), b""))
    check(replies == b"STORED\r\nVALUE greeting 0 5\r\nhello\r\nEND\r\n", f"the server answered {replies!r}")


def files_of(root: Path) -> set[str]:
    """Everything below a directory, without what changes by itself while packages come and go."""
    changes = re.compile(
        r"proc/|sys/|dev/|tmp/|run/adduser$|var/(lib/apt|lib/dpkg|cache|log)/"
        r"|etc/(passwd|group|shadow|gshadow|subuid|subgid)-?$"
    )
    found = (str(path.relative_to(root)) for path in root.rglob("*"))
    return {path for path in found if not changes.match(path)}


def test_archive(dist: Path, place: Path) -> None:
    """The daemon's archive: programs that run in a root with no other file of the system."""
    install("Archive of the daemon", dist, place, environment(place))
    tree = place / "local"
    names = [
        "bin/mcrs", "etc/memcached.conf", "share/doc/memcached-rs/LICENSE-MIT", "share/man/man1/memcached-rs.1",
        "share/zsh/site-functions/_mcrs",
    ]
    for name in names:
        check((tree / name).stat().st_size > 0, f"{name} is empty")
    licences = (tree / "share/doc/memcached-rs/THIRD-PARTY-LICENSES.txt").read_text()
    check("ring 0." in licences and "MIT OR Apache-2.0" in licences, "THIRD-PARTY-LICENSES.txt lacks the crates")
    for program in ["memcached-rs", "mcrs"]:
        headers = run(["readelf", "--program-headers", "--sections", "--wide", tree / "bin" / program])
        check("INTERP" not in headers, f"{program} is not static")
        check(".debug_info" not in headers, f"{program} has debug information")
    need_root()
    add_random(tree)
    with server(["chroot", tree, "/bin/memcached-rs", "-p", free_port()]) as port:
        exchange(port)
        run(["chroot", tree, "/bin/mcrs", "dump", f"127.0.0.1:{port}", "--out", "/dump.mcrs"])
    check("greeting" in run(["chroot", tree, "/bin/mcrs", "inspect", "/dump.mcrs", "--keys"]), "the dump lacks the key")


def test_library(dist: Path, place: Path) -> None:
    """The library's archive: the program of README.md by pkg-config, and examples/c by CMake."""
    user = environment(place)
    (place / "program.c").write_text(re.search(r"```c\n(.*?)^```$", (ROOT / "README.md").read_text(), re.S | re.M)[1])
    check(install("C library", dist, place, user) == "Ada\n", "the program of README.md printed something else")
    dynamic = run(["readelf", "--dynamic", place / "local/lib/libmemcache_rs.so"])
    check(
        "[libmemcache_rs.so.1]" in dynamic and "NODELETE" in dynamic, f"the SONAME or NODELETE is missing:\n{dynamic}"
    )
    check((needs := needed_glibc(place / "local/lib/libmemcache_rs.so")) <= 17, f"the library needs glibc 2.{needs}")
    # The directory may be moved.
    prefix = (place / "local").rename(place / "moved")
    source = shutil.copytree(ROOT / "examples/c", place / "example")
    expected = re.search(r"```text\n(.*?)```", (source / "README.md").read_text(), re.S)[1]
    build = source / "build"
    plain = {"PATH": SYSTEM_PATH, "HOME": str(place)}
    run(["cmake", "-S", source, "-B", build, f"-DCMAKE_PREFIX_PATH={prefix}"], env=plain)
    run(["cmake", "--build", build], env=plain)
    for name in ["embed-memcache_rs", "embed-static"]:
        said = run([build / name, place / "socket"], env=plain).replace("\r", "")
        check(said == expected, f"{name} printed\n{said}")


def needed_glibc(binary: Path) -> int:
    """The newest 2.N of glibc whose symbols a binary needs."""
    symbols = run(["objdump", "--dynamic-syms", binary])
    return max(map(int, re.findall(r"GLIBC_2\.(\d+)", symbols)))


def test_deb(dist: Path, place: Path) -> None:
    """The Debian package: lintian; in a new Debian, its unit, its settings and its removal."""
    package = only(dist, "memcached-rs_*.deb")
    run(["lintian", "--fail-on", "error,warning", "--info", package], env=environment(place))
    need_root()
    system = place / "system"
    base = ROOT / "target/dist-test" / f"{SUITE}.tar"
    if not base.exists():
        base.parent.mkdir(exist_ok=True)
        run(["debootstrap", "--variant=minbase", SUITE, system])
        run(["tar", "--create", "--file", base.with_suffix(".new"), "--directory", system, "."])
        base.with_suffix(".new").rename(base)
    else:
        system.mkdir()
        run(["tar", "--extract", "--file", base, "--directory", system])
    inside = ["chroot", system]
    plain = {"PATH": SYSTEM_PATH, "DEBIAN_FRONTEND": "noninteractive"}
    before = files_of(system)
    shutil.copy(package, system / "tmp")
    commands = recipe("Debian package").replace("sudo ", "cd /tmp; ")
    run([*inside, "bash", "-euc", commands], env=plain, input="y\n")
    check("memcache" in run([*inside, "id", "memcache"]), "the user memcache is missing")
    enabled = system / "etc/systemd/system/multi-user.target.wants/memcached-rs.service"
    check(enabled.is_symlink(), "the unit is not enabled")

    unit = (system / "lib/systemd/system/memcached-rs.service").read_text()
    options = re.search(r"^Environment=\"?OPTIONS=(.*?)\"?$", unit, re.M)[1]
    line = re.search(r"^ExecStart=(.*)$", unit, re.M)[1].replace("$OPTIONS", options)
    settings = system / "etc/memcached-rs/memcached-rs.toml"
    debian = system / "etc/memcached.conf"
    shutil.copy(system / "usr/share/doc/memcached-rs/examples/memcached.conf", debian)
    with_debians = line.replace(options, "--options-file /etc/memcached.conf")
    for command, file in [(line, settings), (with_debians, debian)]:
        text = file.read_text()
        port = free_port()
        check("11211" in text, f"{file.name} does not set the port")
        file.write_text(text.replace("11211", str(port)))
        with server(["chroot", "--userspec=memcache:memcache", system, *command.split()]) as answered:
            check(answered == port, f"{command} listens on {answered}, not on {port} as {file.name} says")
            exchange(port)
    debian.unlink()
    run([*inside, "apt", "purge", "memcached-rs"], env=plain, input="y\n")
    check((left := files_of(system) - before) == set(), f"the package leaves {sorted(left)}")


def test_docker(dist: Path, place: Path) -> None:
    """The image: the steps of the Dockerfile in a directory, then its entry point and health check.

    BusyBox takes the place of the base image, which has its shell.
    """
    need_root()
    image = Image(dist, place)
    configuration = image.build(ROOT / "packaging/docker/Dockerfile")
    entry, command = json.loads(configuration["ENTRYPOINT"]), json.loads(configuration["CMD"])
    health = json.loads(re.search(r"CMD (\[.*\])", configuration["HEALTHCHECK"])[1])
    check(configuration["EXPOSE"] == "11211" and configuration["USER"] == "11211:11211", f"got {configuration}")
    port = free_port()
    compose = YAML(typ="safe").load(ROOT / "packaging/docker/compose.yaml")["services"]["memcached"]
    for arguments in [[], command, compose["command"], ["-l", "127.0.0.1"]]:
        with server(image.command(entry, [*arguments, "-p", str(port)])) as answered:
            check(answered == port, f"{arguments} listens on {answered}")
            exchange(port)
            everywhere = f"0.0.0.0:{port}" in run(["ss", "--listening", "--tcp", "--numeric", f"sport = :{port}"])
            check(everywhere == ("-l" not in arguments), f"{arguments} listens on other addresses than it should")
            run(image.command(health, []), env={**os.environ, "MEMCACHED_PORT": str(port)})
    check(run(image.command(entry, ["id", "-u"])) == "11211\n", "the entry point does not run another command")
    dead = subprocess.run(
        image.command(health, []), env={**os.environ, "MEMCACHED_PORT": str(port)}, capture_output=True
    )
    check(dead.returncode == 1, f"the health check of a dead server ended with status {dead.returncode}")


class Image:
    """The root of a container, made by the instructions that packaging/docker/Dockerfile uses."""

    def __init__(self, dist: Path, place: Path) -> None:
        self.dist, self.place = dist, place
        self.stages: dict[str, Path] = {}
        self.root = place

    def build(self, path: Path) -> dict[str, str]:
        """Carries out a Dockerfile. Returns the instructions that configure the last stage."""
        configuration: dict[str, str] = {}
        for step in DockerfileParser(fileobj=path.open("rb")).structure:
            instruction, value = step["instruction"], step["value"]
            if instruction == "FROM":
                configuration = {}
                self.begin(value)
            elif instruction == "RUN":
                run(["chroot", self.root, "/bin/sh", "-euc", value])
            elif instruction in ("COPY", "ADD"):
                self.copy(value.split(), unpacks=instruction == "ADD")
            elif instruction not in ("ARG", "COMMENT"):
                configuration[instruction] = value
        return configuration

    def begin(self, base: str) -> None:
        name = re.search(r" AS (\w+)", base)
        self.root = self.place / (name[1] if name else "image")
        self.stages[self.root.name] = self.root
        for folder in ["bin", "etc", "tmp", "usr/local/bin"]:
            (self.root / folder).mkdir(parents=True)
        add_random(self.root)
        shutil.copy("/bin/busybox", self.root / "bin")
        run(["chroot", self.root, "/bin/busybox", "--install", "-s", "/bin"])
        # Debian's BusyBox lacks two programs of the base image. These know one form of arguments.
        for name, line in [
            ("addgroup", 'echo "$3:x:$2:" >>/etc/group'),
            ("adduser", 'echo "$7:x:$4:$4::/:" >>/etc/passwd'),
        ]:
            program = self.root / "bin" / name
            program.write_text(f"#!/bin/sh\n{line}\n")
            program.chmod(0o755)

    def copy(self, words: list[str], unpacks: bool) -> None:
        options = dict(word[2:].split("=") for word in words if word.startswith("--"))
        *sources, target = (word for word in words if not word.startswith("--"))
        target = self.root / target.lstrip("/")
        context = self.stages.get(options.get("from", ""), ROOT)
        for source in sources:
            name = (
                source.lstrip("/")
                .replace("target/dist", os.path.relpath(self.dist, ROOT))
                .replace("${TARGETARCH}", "*")
            )
            found = list(context.glob(name.rstrip("/")))
            check(len(found) > 0, f"no file for {source}")
            for path in found:
                if unpacks:
                    run(["tar", "--extract", "--gzip", "--file", path, "--directory", target])
                elif path.is_dir():
                    shutil.copytree(path, target, dirs_exist_ok=True)
                else:
                    shutil.copy(path, target)
                    (target / path.name).chmod(int(options.get("chmod", "644"), 8))

    def command(self, program: list[str], arguments: list[str]) -> list:
        path = "PATH=/usr/local/bin:/bin"
        return ["chroot", "--userspec=11211:11211", self.root, "/bin/env", path, *program, *arguments]


def test_wheel(dist: Path, place: Path) -> None:
    """The wheel: a new virtual environment, without an index, and the glibc that it needs."""
    wheel = only(dist, f"memcache_rs-*-manylinux*_{platform.machine()}.whl")
    audit = run([Path(sys.executable).with_name("auditwheel"), "show", wheel])
    check("manylinux_2_17" in " ".join(audit.split()), f"the wheel needs more than glibc 2.17:\n{audit}")
    user = environment(place)
    install("Python", dist, place, user)
    binaries = place / "venv/bin"
    program = (
        "from memcache_rs import Cache, Server\n"
        "with Cache() as cache:\n"
        "    cache.set('key', 'value')\n"
        "    assert cache.get('key') == b'value'\n"
        "import socket\n"
        "with Server() as server:\n"
        "    with socket.create_connection(server.address) as client:\n"
        "        client.sendall(b'set key 0 0 5\\r\\nvalue\\r\\nget key\\r\\nquit\\r\\n')\n"
        "        assert client.makefile().read() == 'STORED\\nVALUE key 0 5\\nvalue\\nEND\\n'\n"
    )
    run([binaries / "python", "-I", "-W", "error", "-c", program], env=user)
    with server([binaries / "memcached-rs", "-p", free_port()], env=user) as port:
        exchange(port)
    boms = list((place / "venv").glob("lib/*/site-packages/memcache_rs-*/sboms/*.json"))
    check(len(boms) == 1, f"the wheel must have one SBOM, got {boms}")


def test_npm(dist: Path, place: Path) -> None:
    """The npm packages: a new project, offline, and the glibc that they need."""
    if shutil.which("node") is None:
        raise Skipped("node is missing")
    user = environment(place)
    install("Node", dist, place, user)
    program = (
        "import assert from 'node:assert/strict';\n"
        "import { connect } from 'node:net';\n"
        "import { Cache, Server } from 'memcache-rs';\n"
        "const cache = new Cache();\n"
        "cache.set('key', 'value');\n"
        "assert.equal(String(cache.get('key')), 'value');\n"
        "const server = await Server.start({ cache });\n"
        "const [host, port] = server.address.split(':');\n"
        "const client = connect(Number(port), host);\n"
        "client.end('get key\\r\\nquit\\r\\n');\n"
        "const replies = await client.setEncoding('utf8').toArray();\n"
        "assert.equal(replies.join(''), 'VALUE key 0 5\\r\\nvalue\\r\\nEND\\r\\n');\n"
        "await server.close();\n"
    )
    (place / "program.mjs").write_text(program)
    run(["node", "program.mjs"], env=user, cwd=place)
    [addon] = (place / "node_modules/@memcache-rs").glob("*/memcache-rs.node")
    check((needs := needed_glibc(addon)) <= 17, f"the addon needs glibc 2.{needs}")
    with server([place / "node_modules/.bin/memcached-rs", "-p", free_port()], env=user, cwd=place) as port:
        exchange(port)


def test_musl(dist: Path, place: Path) -> None:
    """The wheel for musl: the libraries that it needs. Nothing here can run it."""
    if not list(dist.glob("*musllinux*")):
        raise Skipped("it was not built")
    wheel = only(dist, f"memcache_rs-*-musllinux_1_2_{platform.machine()}.whl")
    run([sys.executable, "-m", "zipfile", "--extract", wheel, place])
    dynamic = run(["readelf", "--dynamic", place / "memcache_rs/_native.abi3.so"])
    check(re.findall(r"NEEDED.*\[(.*)\]", dynamic) == ["libc.so"], f"the wheel needs other libraries:\n{dynamic}")


def test_sbom(dist: Path, place: Path) -> None:
    """The SBOMs: every crate that is linked, with its version."""
    for package, crate in [("memcached-rs", "memcache-rs-daemon"), ("libmemcache_rs", "memcache-rs-capi")]:
        bom = json.loads(only(dist, f"{package}-*.cdx.json").read_text())
        check(bom["bomFormat"] == "CycloneDX", f"{package} has another format")
        listed = {(component["name"], component["version"]) for component in bom["components"]}
        missing = {(crate["name"], crate["version"]) for crate in linked([crate])} - listed
        check(missing == set(), f"the SBOM of {package} lacks {sorted(missing)}")


def test_sums(dist: Path, place: Path) -> None:
    """SHA256SUMS: every file, with its checksum."""
    run(["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=dist)
    listed = {line.split("  ")[1] for line in (dist / "SHA256SUMS").read_text().splitlines()}
    check(listed == {path.name for path in dist.iterdir()} - {"SHA256SUMS"}, f"SHA256SUMS lists {sorted(listed)}")


PARTS = {name.removeprefix("test_"): value for name, value in globals().items() if name.startswith("test_")}


def main() -> None:
    dist = Path(sys.argv[1]).resolve()
    chosen = sys.argv[2:] or list(PARTS)
    if unknown := set(chosen) - set(PARTS):
        sys.exit(f"PART must be one of {', '.join(PARTS)}, got {', '.join(unknown)}")
    failed = skipped = 0
    for name in chosen:
        start = time.monotonic()
        result = "passed"
        with tempfile.TemporaryDirectory() as place:
            try:
                PARTS[name](dist, Path(place))
            except Skipped as reason:
                skipped += 1
                result = f"skipped: {reason}"
            except Exception as fault:
                failed += 1
                result = f"FAILED: {fault}"
        print(f"{name:8} {time.monotonic() - start:5.1f} s  {result}", flush=True)
    print(f"test-dist: {len(chosen) - failed - skipped} passed, {failed} failed, {skipped} skipped")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
