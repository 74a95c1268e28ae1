#!/usr/bin/env python3
"""Lints the prose of tracked files: Markdown, comments, docstrings and commit subjects.

The rules are those that a machine can check without many false alarms:

    words     words and phrases that hide the actor or have a plainer form
    subject   a sentence that begins with a relative clause
    glossary  a private word where the glossary has the term of the field
    length    a clause of more than 25 words; clauses end at . ! ? : ;
    width     a line of more than 100 columns; tables, links and code blocks are exempt
    link      a relative link of Markdown that leads to no file or to no heading
    commit    a subject without a scope, in more than 60 characters, or with a full stop

Code blocks and text in backticks are skipped. That is the only exemption: it is for quoted texts
of memcached and for names in the code.

usage: prose.py [--only GLOB]... [--since COMMIT]
"""

import argparse
import ast
import bisect
import io
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WIDTH = 100
CLAUSE = 25
SUBJECT = 60

#: A line of prose: its number, its text without the comment's marks, and its full width.
Line = tuple[int, str, int]

WORDS = {
    r"who|whom|whoever|whomever": "name the actor",
    r"nobody|somebody|anybody|everybody": "name the actor",
    r"whatever": "say which",
    r"for ?ever": "say until when, or 'never ends'",
    r"meanwhile": "say during what",
    r"tells? of|told of|(?:is|are|was|were|be|being) told": "use a verb: describes, reports, logs, receives",
    r"so (?:many|much)": "give the number, or 'this'",
    r"(?<!there )(?:is|are|was|were) no (?!longer\b|more\b|other\b|less\b)\w+": "use 'is not a …', 'has no …'",
    r"be it": "use 'whether'",
}
GLOSSARY = {
    r"latch(?:es)?": "seqlock",
    r"tall(?:y|ies)": "counters",
    r"desk": "AdminContext",
    r"census": "connection limit",
    r"octets?": "bytes",
    r"strangers?": "unauthenticated client",
    r"knock(?:s|ed)?": "log in",
}


def compile_list(entries: dict[str, str]) -> list[tuple[re.Pattern[str], str]]:
    return [(re.compile(rf"\b(?:{pattern})\b", re.I), advice) for pattern, advice in entries.items()]


WORD_RULES = [("words", *rule) for rule in compile_list(WORDS)]
WORD_RULES += [("glossary", *rule) for rule in compile_list(GLOSSARY)]
# One search that is nearly always in vain, before the rules one by one.
ANY_WORD = re.compile("|".join(rule.pattern for _, rule, _ in WORD_RULES), re.I)

CODE = re.compile(r"(`+)(?!`).*?(?<!`)\1(?!`)")
TARGET = re.compile(r"\]\([^)]*\)|\]\[[^\]]*\]|<?https?://\S+")
LINK = re.compile(r"\]\((?!\w+:)([^)\s]+)\)")
FENCE = re.compile(r"\s*(```|~~~)")
# The mark of a list, or the term of a definition: a word or two, and at least three spaces.
ITEM = re.compile(r"^\s*(?:(?:[-*+]|\d+\.)\s+|\S+(?: \S+)? {3,}(?=\S))")
END = re.compile(r"[.!?:;](?:[\"')*_\]]*)(?:\s+|$)")
# Not the end of a sentence.
SHORT = re.compile(r"(?:\b(?:e\.g|i\.e|etc|vs|No|cf|al|[A-Z])\.|\.\.\.)$")
WORD = re.compile(r"[A-Za-z][A-Za-z'’-]*")
RELATIVE = re.compile(r"[\"'(*_]*(?:What|Who|Whoever|Whatever|Whom)\b")
QUESTION = re.compile(r"\?[\"')*_]*\s*$")
COMMIT = re.compile(r"[a-z0-9][a-z0-9 ,/._-]*: \S")


def find_words(text: str) -> Iterator[tuple[int, str, str]]:
    """Yields (offset, rule, message) for each word of `text` that the lists have.

    >>> list(find_words("Whoever waits is told."))[0]
    (0, 'words', "'Whoever': name the actor")
    >>> list(find_words("There is no item, and the value is no longer held."))
    []
    """
    if not ANY_WORD.search(text):
        return
    for rule, pattern, advice in WORD_RULES:
        for match in pattern.finditer(text):
            yield match.start(), rule, f"'{match[0]}': {advice}"


def find_clauses(text: str) -> Iterator[tuple[int, str, str]]:
    """Yields (offset, rule, message) for the clauses of a paragraph.

    >>> list(find_clauses("It fits. What is large is pinned."))
    [(9, 'subject', "'What is large is pinned.': begin with the noun")]
    >>> list(find_clauses("What is a store? It holds items."))
    []
    """
    start = 0
    begins = True
    for match in END.finditer(text):
        if SHORT.search(text[start : match.start() + 1]):
            continue
        yield from find_clause(text[start : match.end()], start, begins)
        begins = match[0][0] in ".!?"
        start = match.end()
    yield from find_clause(text[start:], start, begins)


def find_clause(clause: str, start: int, begins: bool) -> Iterator[tuple[int, str, str]]:
    if begins and RELATIVE.match(clause) and not QUESTION.search(clause):
        yield start, "subject", f"'{excerpt(clause)}': begin with the noun"
    words = len(WORD.findall(clause))
    if words > CLAUSE:
        yield start, "length", f"{words} words, at most {CLAUSE}: '{excerpt(clause)}'"


def excerpt(text: str) -> str:
    words = text.split()
    return " ".join(words[:8]) + (" …" if len(words) > 8 else "")


def markdown(text: str) -> Iterator[Line]:
    return ((number, line, len(line)) for number, line in enumerate(text.splitlines(), 1))


def slashes(text: str) -> Iterator[Line]:
    """The comments of Rust, C, JavaScript and TypeScript, also behind code, without strings."""
    inside = False
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if inside:
            body, end, _ = stripped.partition("*/")
            inside = not end
            yield number, re.sub(r"^\*+ ?", "", body), len(line)
        elif stripped.startswith("//"):
            yield number, re.sub(r"^//[/!]? ?", "", stripped), len(line)
        elif stripped.startswith("/*"):
            body, end, _ = stripped.partition("*/")
            inside = not end
            yield number, re.sub(r"^/\*+<? ?", "", body), len(line)
        else:
            # A paragraph ends where code begins.
            yield number, "", 0
            code, mark, body = line.partition(" // ")
            if mark and code.count('"') % 2 == 0 and code.count("'") % 2 == 0:
                yield number, body, len(line)
                yield number, "", 0


def hashes(text: str) -> Iterator[Line]:
    """The comments of shell, make, TOML and YAML, and the help texts of a Makefile."""
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if stripped.startswith("#") and not stripped.startswith("#!"):
            yield number, stripped.lstrip("#").removeprefix(" "), len(line)
        else:
            yield number, "", 0
            _, mark, body = line.partition(" ## ")
            if mark:
                yield number, body, 0
                yield number, "", 0


def python(text: str) -> Iterator[Line]:
    """The docstrings and comments of Python."""
    lines = text.splitlines()
    found: dict[int, tuple[str, int]] = {}
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.body:
            first = node.body[0]
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                if isinstance(first.value.value, str):
                    for number in range(first.lineno, (first.end_lineno or first.lineno) + 1):
                        line = lines[number - 1]
                        found[number] = line.strip().strip('"'), len(line)
    if "#" in text:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type == tokenize.COMMENT and not token.string.startswith("#!"):
                number = token.start[0]
                found[number] = token.string.lstrip("#:").strip(), len(lines[number - 1])
    last = 0
    example = False
    for number in sorted(found):
        body, width = found[number]
        # An example of doctest, with its output, ends at a blank line.
        example = body.startswith(">>>") or example and bool(body) and number == last + 1
        if number != last + 1 or example:
            yield number, "", 0
        if not example:
            yield number, body, width
        last = number


READERS = {
    ".md": markdown,
    ".rs": slashes,
    ".c": slashes,
    ".h": slashes,
    ".cpp": slashes,
    ".js": slashes,
    ".mjs": slashes,
    ".ts": slashes,
    ".mts": slashes,
    ".go": slashes,
    ".py": python,
    ".pyi": python,
    ".sh": hashes,
    ".toml": hashes,
    ".yml": hashes,
    "Makefile": hashes,
    ".ci/run": hashes,
}


def reader_of(path: str):
    return READERS.get(path) or READERS.get(Path(path).name) or READERS.get(Path(path).suffix)


def lint(lines: Iterator[Line], is_markdown: bool) -> Iterator[tuple[int, str, str]]:
    """Yields (line, rule, message) for the prose of one file."""
    # The paragraph under way: its text, and where each of its lines begins in it.
    text = ""
    starts: list[int] = []
    numbers: list[int] = []
    fenced = False

    def finish() -> Iterator[tuple[int, str, str]]:
        # Names and examples in backticks may go over the end of a line.
        prose = CODE.sub(lambda match: "`" + " " * (len(match[0]) - 2) + "`", text)
        for offset, rule, message in [*find_clauses(prose), *find_words(prose)]:
            yield numbers[bisect.bisect_right(starts, offset) - 1], rule, message

    for number, line, width in lines:
        is_table = line.lstrip().startswith("|")
        if FENCE.match(line):
            fenced = not fenced
        elif not fenced and line.strip() and not is_table:
            if ITEM.match(line) or line.startswith(("#", "@")):
                yield from finish()
                text, starts, numbers = "", [], []
            starts.append(len(text))
            numbers.append(number)
            text += TARGET.sub("]", ITEM.sub("", line, count=1)).strip() + " "
            if width > WIDTH and not TARGET.search(line):
                yield number, "width", f"{width} columns, at most {WIDTH}"
            if not line.startswith("#"):
                continue
        if text:
            yield from finish()
            text, starts, numbers = "", [], []
        if is_table and not fenced and is_markdown:
            for cell in re.split(r"(?<!\\)\|", CODE.sub("``", TARGET.sub("]", line))):
                for _, rule, message in find_words(cell):
                    yield number, rule, message
                if RELATIVE.match(cell.strip()) and not QUESTION.search(cell):
                    yield number, "subject", f"'{excerpt(cell)}': begin with the noun"
    if text:
        yield from finish()


def headings(path: Path) -> set[str]:
    """Returns the anchors that GitHub makes of the headings of a document."""
    text = re.sub(r"^```.*?^```", "", path.read_text(), flags=re.S | re.M)
    names = re.findall(r"^#+ +(.*)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", name.lower()).strip().replace(" ", "-") for name in names}


def lint_links(path: Path, text: str) -> Iterator[tuple[int, str, str]]:
    """Yields (line, rule, message) for the relative links of a document that lead nowhere."""
    # Code is blanked, so that positions stay.
    prose = re.sub(r"^```.*?^```|`[^`\n]*`", lambda code: re.sub(r"[^\n]", " ", code[0]), text, flags=re.S | re.M)
    for match in LINK.finditer(prose):
        target, _, anchor = match[1].partition("#")
        file = path.parent / target if target else path
        if not file.exists():
            problem = "there is no such file"
        elif anchor and file.suffix == ".md" and anchor not in headings(file):
            problem = "there is no such heading"
        else:
            continue
        yield prose.count("\n", 0, match.start()) + 1, "link", f"{problem}: {match[1]}"


def git(*arguments: str) -> list[str]:
    done = subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True, text=True)
    return done.stdout.splitlines()


def lint_commits(base: str) -> Iterator[tuple[str, str]]:
    """Yields (commit, message) for the subjects since `base`; merges are exempt."""
    for line in git("log", "--no-merges", "--format=%h %s", f"{base}..HEAD"):
        commit, _, subject = line.partition(" ")
        if not COMMIT.match(subject):
            yield commit, f"no scope ('store: …'): '{subject}'"
        if len(subject) > SUBJECT:
            yield commit, f"{len(subject)} characters, at most {SUBJECT}: '{subject}'"
        if subject.endswith("."):
            yield commit, f"ends in a full stop: '{subject}'"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", metavar="GLOB", action="append", help="lint the tracked files that match GLOB")
    parser.add_argument("--since", metavar="COMMIT", help="lint the commit subjects since COMMIT as well")
    options = parser.parse_args()
    paths = [path for path in git("ls-files") if reader_of(path) and (ROOT / path).is_file()]
    if options.only:
        paths = [path for path in paths if any(fnmatch(path, glob) for glob in options.only)]
        if not paths:
            parser.error(f"no tracked file matches {' '.join(options.only)}")
    found = 0
    for path in paths:
        text = (ROOT / path).read_text()
        problems = list(lint(reader_of(path)(text), path.endswith(".md")))
        if path.endswith(".md"):
            problems += lint_links(ROOT / path, text)
        for number, rule, message in sorted(problems):
            print(f"{path}:{number}: {rule}: {message}")
            found += 1
    for commit, message in lint_commits(options.since) if options.since else ():
        print(f"{commit}:0: commit: {message}")
        found += 1
    if found:
        print(f"prose: {found} findings in {len(paths)} files", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
