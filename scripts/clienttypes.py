"""
Check the types of txroom.js, and generate txroom.d.ts from them.

    python scripts/clienttypes.py [--check] [folder]

The types are in the JSDoc comments of txroom.js. TypeScript checks them and emits declarations. This script
makes these readable: each declaration keeps one comment, without the types that the declaration itself has,
and internal declarations are removed. With --check the file is only compared.

TypeScript is installed with the JavaScript clients of the tests (`make deps`). If it is missing, the script
says so; that is an error only if the environment variable CI is set.
"""

from __future__ import annotations

import argparse
import difflib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WEB = ROOT / "txroom" / "web"
TSC = ROOT / "tests" / "functional" / "clients" / "node_modules" / "typescript" / "bin" / "tsc"

HEAD = "// Made from the comments of txroom.js by `make client-types`: do not edit it here."
#: The oldest supported Node has ES2022.
PLATFORM = ("--target", "es2022", "--lib", "es2022,dom", "--module", "esnext", "--types", "")
STRICT = (
    "--strict",
    "--noImplicitReturns",
    "--noImplicitOverride",
    "--noUnusedLocals",
    "--noUnusedParameters",
)
EMIT = ("--allowJs", "--checkJs", "--declaration", "--emitDeclarationOnly", "--stripInternal")

#: The beginning of a tag in a comment.
TAG = re.compile(r"(?:^|(?<=\s))@(?=[a-z])", re.M)
#: In the emitted declarations: the beginning of a comment, and a named type.
COMMENT = re.compile(r" *\/\*\*")
NAMED = re.compile(r"export type (\w+)")
#: The type of an argument or an element that is written with one line for each property.
INLINE = re.compile(r"\{\n((?: +\w+\??: [^\n{}]+;\n)+) +\}(?=[\[)])")


class WrongTypes(Exception):
    """TypeScript has found errors."""


def compiled(*arguments: str | Path) -> None:
    """Let TypeScript check. Raises `WrongTypes`."""
    done = subprocess.run(
        ["node", TSC, *PLATFORM, *STRICT, *arguments],
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    if done.returncode != 0:
        raise WrongTypes(done.stdout.rstrip())


def declarations(script: Path) -> str:
    """Check the script, and return its declarations."""
    with tempfile.TemporaryDirectory() as folder:
        compiled(*EMIT, "--outDir", folder, script)
        emitted = Path(folder, f"{script.stem}.d.ts")
        text = tidied(emitted.read_text("utf-8"), script.read_text("utf-8"))
        emitted.write_text(text, "utf-8")
        compiled("--noEmit", "--exactOptionalPropertyTypes", emitted)
    return text


def tidied(emitted: str, script: str) -> str:
    """Make the declarations that TypeScript has emitted readable."""
    types = typedefs(script)
    seen: Counter[str] = Counter()
    lines = [HEAD]
    isHidden = isInterface = False
    for comments, line in commented(emitted.splitlines()):
        isTop = line[:1] not in (" ", "}", "")
        if isTop:
            named = NAMED.match(line)
            comment = types.get(named[1], "") if named else chosen(comments, seen)
            isHidden = "@internal" in comment
            isInterface = named is not None and line.endswith(" = {")
        else:
            comment = chosen(comments, seen)
        if isHidden or line.strip() == "#private;":
            continue
        if isInterface:
            line = re.sub(r"^export type (.*) = \{$", r"export interface \1 {", line)
            line = "}" if line == "};" else line
        if isTop:
            lines += [part for one in comments if "@module" in one for part in ("", *rewritten(one, ""))]
            lines.append("")
        indent = " " * ((len(line) - len(line.lstrip())) // 2)
        lines += rewritten(comment, indent)
        lines.append(indent + declared(line.strip()))
    return INLINE.sub(oneLine, "\n".join(lines)) + "\n"


def oneLine(properties: re.Match[str]) -> str:
    """Write the type of an argument in one line."""
    return f"{{ {' '.join(properties[1].split()).rstrip(';')} }}"


def commented(lines: Iterable[str]) -> Iterator[tuple[list[str], str]]:
    """Yield each line of code with the comments before it."""
    comments: list[str] = []
    isComment = False
    for line in lines:
        if isComment:
            comments[-1] += f"\n{line}"
        elif COMMENT.match(line):
            comments.append(line)
        else:
            yield comments, line
            comments = []
            continue
        isComment = not line.endswith("*/")


def typedefs(script: str) -> dict[str, str]:
    """The comments that define types, by the names of the types. TypeScript leaves them out."""
    found = {}
    for comment in re.findall(r"/\*\*.*?\*/", script, re.S):
        _, isType, definition = comment.partition("@typedef ")
        if isType:
            found[withoutType(definition).split()[0]] = comment
    return found


def chosen(comments: list[str], seen: Counter[str]) -> str:
    """
    The comment of a declaration: the last of those before it.

    Before each overload TypeScript writes the comments of all overloads; the first overload has the first,
    and so on.
    """
    comments = [one for one in comments if "@typedef" not in one]
    if any("@overload" in one for one in comments):
        run = "\n".join(comments)
        seen[run] += 1
        return comments[seen[run] - 1]
    return comments[-1] if comments else ""


def rewritten(comment: str, indent: str) -> list[str]:
    """The lines of a comment without types: its text, and the texts of its parameters."""
    inner = comment.strip().removeprefix("/**").removesuffix("*/")
    inner = "\n".join(re.sub(r"^\s*\* ?", "", line).rstrip() for line in inner.splitlines())
    text, *tags = TAG.split(inner)
    parts = [text.strip()]
    for tag in tags:
        name, _, rest = tag.partition(" ")
        said = withoutType(rest).strip()
        if name in ("param", "returns") and " " in said.removeprefix("["):
            parts.append(f"@{name} {said}")
    return laidOut([part for part in parts if part], indent)


def withoutType(text: str) -> str:
    """The text behind a type in braces, or the whole text if there is none."""
    depth = 0
    for index, character in enumerate(text):
        depth += {"{": 1, "}": -1}.get(character, 0)
        if depth == 0:
            return text[index + 1 :] if index else text
    return text


def laidOut(parts: list[str], indent: str) -> list[str]:
    """The lines of a comment with a text and tags."""
    lines = "\n".join(parts).splitlines()
    if len(lines) <= 1:
        return [f"{indent}/** {line} */" for line in lines]
    text, *tags = parts
    if tags and not text.startswith("@"):
        lines = [*text.splitlines(), "", *"\n".join(tags).splitlines()]
    return [f"{indent}/**", *(f"{indent} * {line}".rstrip() for line in lines), f"{indent} */"]


def declared(line: str) -> str:
    """A declaration for users: a property with only a getter is read-only."""
    line = line.replace("export declare ", "export ", 1)
    return re.sub(r"^get (\w+)\(\): ", r"readonly \1: ", line)


def missing() -> str | None:
    """What is missing for the check, or `None`."""
    if shutil.which("node") is None:
        return "node is not installed"
    return None if TSC.exists() else "TypeScript is not installed (make deps, which needs npm)"


def compared(former: str, text: str) -> str:
    """What differs in the existing declarations."""
    names = ("txroom.d.ts", "txroom.d.ts, made anew")
    lines = difflib.unified_diff(former.splitlines(), text.splitlines(), *names, lineterm="")
    return "\n".join([*lines, "txroom.d.ts differs from the comments of txroom.js: run make client-types"])


def main() -> int:
    parser = argparse.ArgumentParser(description="Check the types of txroom.js, and make txroom.d.ts.")
    parser.add_argument("--check", action="store_true", help="compare txroom.d.ts, and leave it as it is")
    parser.add_argument("folder", nargs="?", type=Path, default=WEB, help="where both are")
    options = parser.parse_args()
    lack = missing()
    if lack is not None:
        print(f"The types of txroom.js were not checked: {lack}", file=sys.stderr)
        return 1 if os.environ.get("CI") else 0
    file = options.folder / "txroom.d.ts"
    try:
        text = declarations(options.folder / "txroom.js")
    except WrongTypes as error:
        print(error, file=sys.stderr)
        return 1
    if not options.check:
        file.write_text(text, "utf-8")
    elif (former := file.read_text("utf-8")) != text:
        print(compared(former, text), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
