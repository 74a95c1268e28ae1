"""Lists the public API of a crate, one item a line, from the pages that rustdoc wrote.

usage: api.py DIRECTORY              prints the list
       api.py DIRECTORY --check FILE prints how the list differs from FILE, and fails if it does

DIRECTORY is the crate's folder in target/doc. Hidden items have no page and are not listed.
The list has each item with its fields, variants and methods, the traits it implements, Send and
Sync. It leaves out blanket implementations and the other auto traits.
A type in a signature is named without its path, as rustdoc shows it.
"""

import difflib
import re
import sys
from html.parser import HTMLParser
from pathlib import Path

# Sections of a page that describe other types or belong to the compiler.
SKIPPED = re.compile(r"blanket-implementations|deref-methods.*|implementors|foreign-impls")
FIELD = re.compile(r"structfield\.|variant\..*\.field\.")
# These have a line for each field or variant, so that their own line ends at the brace.
BRACED = re.compile(r"[^;]*?\b(struct|enum|union|trait) [^{]*(?={)")


def tidy(text):
    """Joins lines, so that a signature is the same however it was wrapped."""
    # § links to the line, and ⓘ to the traits of a returned type.
    text = " ".join(re.sub("[\u200b§ⓘ]", "", text).split())
    text = re.sub(r"(?<=[(\[]) | (?=[)\]])", "", text)
    text = re.sub(r",(?=[)\]>])", "", text)
    # An attribute has a line of its own on the page.
    return re.sub(r"\](?=pub\b)", "] ", text)


class Page(HTMLParser):
    """Collects `(section, id, text)` for each declaration on a page of rustdoc."""

    def __init__(self, source):
        super().__init__()
        self.found = []
        self.section = ""
        self.identity = ""
        self.until = None
        self.text = []
        self.feed(source)

    def capture(self, tag):
        self.until = tag
        self.text = []

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        classes = (attributes.get("class") or "").split()
        identity = attributes.get("id") or ""
        if self.until:
            return
        if tag == "h2" and identity:
            self.section = identity
        elif tag == "pre" and "item-decl" in classes:
            self.identity = "declaration"
            self.capture(tag)
        elif "code-header" in classes:
            self.capture(tag)
        elif tag == "code" and self.identity and (FIELD.match(self.identity) or self.identity.startswith("reexport.")):
            self.capture(tag)
        elif tag in ("section", "span", "dt") and identity:
            self.identity = identity

    def handle_data(self, data):
        if self.until:
            self.text.append(data)

    def handle_endtag(self, tag):
        if tag == self.until:
            self.found.append((self.section, self.identity, tidy("".join(self.text))))
            self.until = None
            self.identity = ""


class Links(HTMLParser):
    """Collects `(name, page)` from the list of all items."""

    def __init__(self, source):
        super().__init__()
        self.found = []
        self.page = None
        self.inside = False
        self.feed(source)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if tag == "ul":
            self.inside = attributes.get("class") == "all-items"
        elif tag == "a" and self.inside:
            self.page = attributes["href"]

    def handle_data(self, data):
        if self.page:
            self.found.append((data, self.page))
            self.page = None


def declaration(text):
    """Returns the line of an item, without what has lines of its own."""
    braced = BRACED.match(text)
    line = braced[0].strip() if braced else text
    return line + " { private fields }" if braced and "/* private fields */" in text else line


def item(name, source):
    """Yields the lines of one item."""
    implementation = ""
    for section, identity, text in Page(source).found:
        if SKIPPED.fullmatch(section):
            continue
        if identity == "declaration":
            yield f"{name}: {declaration(text)}"
        elif section == "synthetic-implementations":
            if re.search(r"\b(Send|Sync) for\b", text):
                yield f"{name}: {text}"
        elif section in ("implementations", "trait-implementations") and identity.startswith("impl-"):
            implementation = text
            if section == "trait-implementations" and "StructuralPartialEq" not in text:
                yield f"{name}: {text}"
        elif section == "trait-implementations":
            # The trait says what its methods are; the types are this implementation's.
            if identity.startswith("associatedtype."):
                yield f"{name}: {implementation}: {text}"
        elif section == "implementations":
            # An implementation for some arguments of a generic type says which.
            which = "" if implementation == f"impl {name.rsplit('::')[-1]}" else f" [{implementation}]"
            yield f"{name}::{identity.split('.')[-1]}: {text}{which}"
        else:
            # A method of a trait, a variant or a field.
            path = [part for part in identity.split(".")[1:] if part != "field"]
            yield f"{name}::{'::'.join(path)}: {text}"


def listing(directory):
    """Returns the sorted lines of a crate."""
    lines = [text for _, identity, text in Page((directory / "index.html").read_text()).found
             if identity.startswith("reexport.")]
    for name, page in Links((directory / "all.html").read_text()).found:
        lines += item(name, (directory / page).read_text())
    return sorted(set(lines))


def main(arguments):
    if len(arguments) not in (1, 3) or arguments[1:2] not in ([], ["--check"]):
        print(__doc__, file=sys.stderr)
        return 2
    now = listing(Path(arguments[0]))
    if len(arguments) == 1:
        print("\n".join(now))
        return 0
    committed = Path(arguments[2]).read_text().splitlines()
    difference = list(difflib.unified_diff(committed, now, arguments[2], "the code", n=0, lineterm=""))
    if difference:
        print("\n".join(difference))
        print(f"api: the public API is not that of {arguments[2]}; `make api` renews the file", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
