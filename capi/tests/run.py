"""Builds the C tests against libmemcache_rs and runs them.

They run plain, under valgrind, with AddressSanitizer, with the shared and the static library, and
through dlopen. Checks the exported symbols, and that a test calls every function. Runs the examples
of the header. Installs into a tree of its own, and builds examples/c there by pkg-config and by
CMake. Runs the examples of docs/abi.md and of other languages with it.

    run.py LIBRARIES    the directory with libmemcache_rs.so and libmemcache_rs.a
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from languages import check_languages

ROOT = Path(__file__).resolve().parents[2]
TESTS = ROOT / "capi/tests/c"
HEADER = ROOT / "include/memcache_rs.h"
SONAME = "libmemcache_rs.so." + re.search(r"#define MCRS_ABI_VERSION (\d+)", HEADER.read_text()).group(1)
WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Werror"]
# The system libraries that the static library needs: rustc --print native-static-libs.
SYSTEM = ["-lgcc_s", "-lutil", "-lrt", "-lpthread", "-lm", "-ldl"]
# A test takes a second; under valgrind a minute at most.
PATIENCE = 300


def functions() -> dict[str, str]:
    """Every function of the header, with its parameters."""
    text = re.sub(r"/\*.*?\*/", "", HEADER.read_text(), flags=re.S)
    found = re.findall(r"^[\w ]+[ *](mcrs_\w+)\(([^)]*)\);", text, flags=re.M)
    return {name: " ".join(parameters.split()) for name, parameters in found}


def run(command: list, **options) -> str:
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=PATIENCE, **options)
    if done.returncode != 0:
        raise RuntimeError(f"failed ({done.returncode}): {' '.join(map(str, command))}\n{done.stdout}{done.stderr}")
    return done.stdout


def check_symbols(library: Path, names: set[str]) -> None:
    listed = subprocess.run(["nm", "-D", "--defined-only", library], capture_output=True, text=True, check=True).stdout
    exported = {line.split()[-1].split("@")[0] for line in listed.splitlines()}
    if exported != names:
        sys.exit(f"exported, not in the header: {exported - names}\nin the header, not exported: {names - exported}")
    dynamic = subprocess.run(["readelf", "-d", library], capture_output=True, text=True, check=True).stdout
    if f"[{SONAME}]" not in dynamic or "NODELETE" not in dynamic:
        sys.exit(f"the SONAME or NODELETE is missing:\n{dynamic}")


def check_called(names: set[str]) -> None:
    text = "".join(path.read_text() for path in TESTS.iterdir() if path.name != "test.h")
    uncalled = {name for name in names if not re.search(rf"\b{name}\(", text)}
    if uncalled:
        sys.exit(f"no test calls {sorted(uncalled)}")


def write_nulls(path: Path, found: dict[str, str]) -> None:
    """A test that gives NULL and 0 for every argument of every function."""
    calls = []
    for name, parameters in found.items():
        arguments = []
        for parameter in parameters.split(","):
            pointer = "*" in parameter or re.search(r"\bmcrs_\w+_fn\b", parameter)
            arguments.append("NULL" if pointer else "0")
        if name.endswith("_free"):
            calls.append(f"    {name}(NULL);")
        elif "NULL" in arguments:
            calls.append(f"    IS({name}({', '.join(arguments)}), MCRS_NULL_ARGUMENT);")
    lines = ['#include "test.h"', "int main(void) {", *calls, "    return 0;", "}", ""]
    path.write_text("\n".join(lines))


def write_examples(path: Path) -> int:
    """A test of the examples in the header: each runs as a function with fresh handles."""
    declarations, calls = [], []
    for comment, declared in re.findall(r"/\*\*(.*?)\*/([^;{]*)", HEADER.read_text(), flags=re.S):
        for example in re.findall(r"^ \* ```c\n(.*?)^ \* ```$", comment, flags=re.S | re.M):
            code = re.sub(r"^ \* ?", "", example, flags=re.M)
            if code.startswith("static "):
                # A callback, which later examples use.
                declarations.append(code)
                continue
            name = re.findall(r"mcrs_\w+(?=\()", declared)[0]
            handles = "mcrs_cache *cache, mcrs_config *config, mcrs_server *server"
            unused = "(void)cache, (void)config, (void)server;"
            declarations.append(f"static void show_{name}({handles}) {{\n{unused}\n{code}}}\n")
            calls.append(f"show_{name}")
    runs = "\n".join(f"""    {{
        mcrs_cache *cache = small_cache();
        mcrs_config *config = small_config();
        mcrs_server *server = small_server();
        {call}(cache, config, server);
        mcrs_server_free(server);
        mcrs_config_free(config);
        mcrs_cache_free(cache);
    }}""" for call in calls)
    path.write_text("\n".join(['#include "test.h"', "#include <assert.h>", *declarations, "int main(void) {", runs, "}\n"]))
    return len(declarations)


def write_dlopen(path: Path, found: dict[str, str]) -> None:
    """Takes every function by dlsym, closes the library and opens it again first."""
    pointers = "\n".join(f"static __typeof__({name}) *by_{name} __attribute__((unused));" for name in found)
    loads = "\n".join(f'    *(void **)&by_{name} = by_name(library, "{name}");' for name in found)
    defines = "\n".join(f"#define {name} by_{name}" for name in found)
    path.write_text(f"""#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
{pointers}
static void *by_name(void *library, const char *name) {{
    void *found = dlsym(library, name);
    if (!found) {{
        fprintf(stderr, "%s\\n", dlerror());
        exit(1);
    }}
    return found;
}}
__attribute__((constructor)) static void by_dlopen(void) {{
    for (int n = 0; n < 3; n++) {{
        void *again = dlopen(TEST_DLOPEN, RTLD_NOW | RTLD_LOCAL);
        if (!again || dlclose(again) != 0) {{
            fprintf(stderr, "%s\\n", dlerror());
            exit(1);
        }}
    }}
    void *library = dlopen(TEST_DLOPEN, RTLD_NOW | RTLD_LOCAL);
{loads}
}}
{defines}
""")


class Bench:
    """A directory with libraries under their real names, and what is built with them."""

    def __init__(self, place: Path, libraries: Path) -> None:
        self.place = place
        shutil.copy(libraries / "libmemcache_rs.so", place / SONAME)
        (place / "libmemcache_rs.so").symlink_to(SONAME)
        self.shared = place / "libmemcache_rs.so"
        self.static = libraries / "libmemcache_rs.a"
        self.environment = {
            **os.environ,
            "TEST_CERTIFICATE": str(place / "certificate.pem"),
            "TEST_KEY": str(place / "key.pem"),
        }
        run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", place / "key.pem", "-out",
             place / "certificate.pem", "-days", "30", "-subj", "/CN=localhost"])

    def build(self, source: Path, how: str) -> Path:
        program = self.place / f"{source.stem}-{how}"
        compiler = ["g++", "-std=c++17"] if source.suffix == ".cpp" else ["gcc", "-std=c11"]
        flags = [*WARNINGS, "-O1", "-g", "-D_GNU_SOURCE", "-I", HEADER.parent, "-I", TESTS, "-I", self.place]
        link = {
            "shared": [self.shared, f"-Wl,-rpath,{self.place}"],
            "static": [self.static, *SYSTEM],
            # Casts between pointers to functions and to data are POSIX's, not C's.
            "dlopen": [f'-DTEST_DLOPEN="{self.shared}"', "-Wno-pedantic", "-ldl"],
            "asan": ["-fsanitize=address", "-fno-omit-frame-pointer", self.shared, f"-Wl,-rpath,{self.place}"],
        }[how]
        run([*compiler, *flags, source, "-o", program, *link, "-lpthread"])
        return program


def check_prints(program: list, expected: str, **options) -> None:
    done = subprocess.run([str(word) for word in program], capture_output=True, text=True, timeout=PATIENCE, **options)
    if done.returncode != 0 or done.stdout.replace("\r", "").strip() != expected.strip():
        raise RuntimeError(f"{program} printed\n{done.stdout}{done.stderr}\nnot\n{expected}")


def blocks(path: Path, language: str) -> list[tuple[str, str]]:
    """The code of a language in a document, each with what the next block says that it prints."""
    found = re.findall(r"^```(\w+)\n(.*?)^```$", path.read_text(), flags=re.S | re.M)
    return [(code, said) for (kind, code), (after, said) in zip(found, found[1:]) if (kind, after) == (language, "text")]


def check_installed(place: Path, libraries: Path) -> int:
    """The installed tree, its examples, and that nothing stays when it is taken away."""
    tree = place / "tree"
    options = {**os.environ, "PREFIX": str(tree), "DESTDIR": ""}
    install = [ROOT / "scripts/install.sh", "install", libraries / "memcached-rs", libraries, ROOT / "target"]
    said = run(install, env=options)
    if f"LD_LIBRARY_PATH={tree}/lib" not in said:
        raise RuntimeError(f"make install does not say how a program finds the library:\n{said}")
    for binary in ["bin/memcached-rs", "bin/mcrs", "lib/libmemcache_rs.so", "lib/libmemcache_rs.a"]:
        if (tree / binary).exists() and ".debug_info" in run(["readelf", "--sections", "--wide", tree / binary]):
            raise RuntimeError(f"make install leaves debug information in {binary}")
    source = place / "example"
    shutil.copytree(ROOT / "examples/c", source)
    [(_, printed)] = blocks(ROOT / "examples/c/README.md", "sh")
    found = {**os.environ, "PKG_CONFIG_PATH": str(tree / "lib/pkgconfig"), "LD_LIBRARY_PATH": str(tree / "lib")}
    run(["make", "-C", source], env=found)
    check_prints([source / "embed", place / "example.sock"], printed, env=found)
    # The CMake package, in a prefix that was moved.
    moved = place / "moved"
    tree.rename(moved)
    build = source / "build"
    run(["cmake", "-S", source, "-B", build, f"-DCMAKE_PREFIX_PATH={moved}"])
    run(["cmake", "--build", build])
    for name in ["embed-memcache_rs", "embed-static"]:
        check_prints([build / name, place / "example.sock"], printed)
    moved.rename(tree)
    count = 3 + check_documents(place, tree, found) + check_languages(place, found)
    check_service(tree, tree / "etc")
    uninstall = [ROOT / "scripts/install.sh", "uninstall", libraries / "memcached-rs", libraries]
    run(uninstall, env=options)
    check_left(tree, [])
    # With DESTDIR everything is below it, and nothing says so.
    staged = place / "staged"
    options = {**options, "PREFIX": "/usr", "DESTDIR": str(staged)}
    run(install, env=options)
    if "prefix=/usr\n" not in (staged / "usr/lib/pkgconfig/memcache_rs.pc").read_text():
        raise RuntimeError("the pkg-config file names DESTDIR")
    check_service(staged / "usr", staged / "etc", staged)
    # Settings that were changed stay, over an installation and a removal.
    settings = staged / "etc/memcached-rs/memcached-rs.toml"
    settings.write_text("threads = 2\n")
    run(install, env=options)
    run(uninstall, env=options)
    check_left(staged, [settings])
    if settings.read_text() != "threads = 2\n":
        raise RuntimeError("make install replaces settings that were changed")
    return count


def check_left(tree: Path, expected: list[Path]) -> None:
    left = [path for path in tree.rglob("*") if not path.is_dir()]
    if left != expected:
        raise RuntimeError(f"make uninstall leaves {left}")


def check_service(tree: Path, etc: Path, staged: Path = Path("/")) -> None:
    """The files of the daemon that are not programs. A unit names the installed ones."""
    for file in [
        "man/man1/memcached-rs.1", "man/man1/mcrs.1", "bash-completion/completions/mcrs",
        "zsh/site-functions/_memcached-rs", "fish/vendor_completions.d/memcached-rs.fish",
    ]:
        if not (tree / "share" / file).stat().st_size:
            raise RuntimeError(f"make install leaves {file} empty")
    units = tree / "lib/systemd/system"
    if {file.name for file in units.iterdir()} != {file.name for file in (ROOT / "packaging/systemd").iterdir()}:
        raise RuntimeError("make install leaves out a unit")
    unit = (units / "memcached-rs.service").read_text()
    named = re.search(r"--config (\S+?)\"", unit), re.search(r"^ExecStart=(\S+)", unit, flags=re.M)
    expected = [etc / "memcached-rs/memcached-rs.toml", tree / "bin/memcached-rs"]
    if [found and staged / found[1].lstrip("/") for found in named] != expected or not expected[0].exists():
        raise RuntimeError(f"the unit is for another place:\n{unit}")


def check_documents(place: Path, tree: Path, found: dict[str, str]) -> int:
    """The examples in C, Python and Go that documents show."""
    count = 0
    for document in [ROOT / "README.md", ROOT / "docs/abi.md"]:
        for code, printed in blocks(document, "c"):
            source = place / f"shown{count}.c"
            source.write_text(code)
            link = [f"-I{tree}/include", source, "-o", source.with_suffix(""), f"-L{tree}/lib", "-lmemcache_rs"]
            run(["gcc", "-std=c11", *WARNINGS, *link])
            check_prints([source.with_suffix("")], printed, env=found)
            count += 1
        for code, printed in blocks(document, "python"):
            check_prints([sys.executable, "-c", code], printed, env=found)
            count += 1
        if shutil.which("go"):
            for code, printed in blocks(document, "go"):
                source = place / f"go{count}"
                source.mkdir()
                (source / "main.go").write_text(code)
                (source / "go.mod").write_text("module example\n\ngo 1.19\n")
                local = {**found, "GOFLAGS": "-mod=mod", "GOCACHE": str(ROOT / "target/go-cache"), "GOTOOLCHAIN": "local"}
                run(["go", "build", "-o", source / "main", "."], env=local, cwd=source)
                check_prints([source / "main"], printed, env=found)
                count += 1
    return count


def main() -> None:
    libraries = Path(sys.argv[1]).resolve()
    found = functions()
    names = set(found)
    check_symbols(libraries / "libmemcache_rs.so", names)
    check_called(names)
    with tempfile.TemporaryDirectory() as directory:
        bench = Bench(Path(directory), libraries)
        write_nulls(bench.place / "nulls.c", found)
        shown = write_examples(bench.place / "examples.c")
        write_dlopen(bench.place / "by_dlopen.h", found)
        sources = [*sorted(TESTS.glob("*.c")), *sorted(TESTS.glob("*.cpp")), bench.place / "nulls.c",
                   bench.place / "examples.c"]
        hows = ["shared", "static", "dlopen", "asan"]
        valgrind = ["valgrind", "--quiet", "--error-exitcode=9", "--leak-check=full", "--show-leak-kinds=definite,indirect",
                    "--errors-for-leak-kinds=definite,indirect", "--fair-sched=yes"]

        def test(source: Path, how: str) -> None:
            began = time.monotonic()
            program = bench.build(source, how)
            # The examples write files with relative names.
            place = bench.place / f"{program.name}.files"
            place.mkdir()
            run([program], env=bench.environment, cwd=place)
            if how == "shared":
                few = {**bench.environment, "TEST_ROUNDS": "20" if source.stem == "leaks" else "300"}
                # A child of fork leaves the memory of its parent, as the header says.
                leaks = ["--leak-check=no"] if source.stem == "fork" else []
                run([*valgrind, *leaks, program], env=few, cwd=place)
            if os.environ.get("TEST_TIMES"):
                print(f"{time.monotonic() - began:6.1f} s {source.name} {how}")

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            # The fork test is left out with AddressSanitizer. A thread of the parent may hold the
            # lock of its allocator, and then the child never ends (seen with GCC 12).
            tests = [(source, how) for how in hows for source in sources if (source.stem, how) != ("fork", "asan")]
            jobs = [(f"{source.name} {how}", pool.submit(test, source, how)) for source, how in tests]
            failed = [f"{name}: {job.exception()}" for name, job in jobs if job.exception() is not None]
        try:
            examples = shown + check_installed(bench.place, libraries)
        except RuntimeError as error:
            failed.append(str(error))
            examples = 0
        print("\n".join(failed), end="\n" if failed else "")
        print(f"C ABI: {len(names)} functions; {len(jobs)} programs, {examples} examples; {len(failed)} failed")
        sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
