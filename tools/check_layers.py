#!/usr/bin/env python3
"""Checks every #include of src/ against tools/layers.txt, and the calls that are banned below cli/."""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
BANNED = re.compile(r"\b(printf|puts|exit|abort|getenv|strcpy|strcat|sprintf|strtok|gets|atoi|rand)\s*\(")
ABORT_OWNER = "src/base/status.c"  # TRI_ASSERT, the only abort


def layers():
    table = {}
    for line in (ROOT / "tools/layers.txt").read_text().splitlines():
        line = line.split("#")[0].strip()
        if line:
            folder, _, allowed = line.partition(":")
            table[folder.strip()] = {folder.strip(), "base", "trireme", *allowed.split()}
    return table


def main():
    table = layers()
    problems = []
    for path in sorted((ROOT / "src").rglob("*.[ch]")):
        relative = path.relative_to(ROOT)
        folder = relative.parts[1]
        if folder not in table:
            problems.append(f"{relative}: folder {folder} has no row in tools/layers.txt")
            continue
        comment = False
        for number, line in enumerate(path.read_text().splitlines(), 1):
            match = re.match(r'\s*#\s*include\s+"([^"]+)"', line)
            if match:
                target = match.group(1).split("/")[0]
                if target not in table[folder]:
                    problems.append(f"{relative}:{number}: {folder} may not include {match.group(1)}")
            code = re.sub(r'"(\\.|[^"\\])*"', '""', line)
            code = re.sub(r"/\*.*?\*/|//.*", "", code)
            if comment:
                if "*/" not in code:
                    continue
                code, comment = code.split("*/", 1)[1], False
            if "/*" in code:
                code, comment = code.split("/*", 1)[0], True
            banned = BANNED.search(code)
            if banned and folder != "cli" and str(relative) != ABORT_OWNER:
                problems.append(f"{relative}:{number}: {banned.group(1)} is banned below cli")
        lines = path.read_text().count("\n")
        if lines > 900:
            problems.append(f"{relative}: {lines} lines; 900 is the most")
    print("\n".join(problems) if problems else f"layers: {len(table)} folders clean")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
