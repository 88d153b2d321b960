# SPDX-License-Identifier: Apache-2.0
"""check_security_doc.py ROOT: the table of SECURITY.md has every limit of core/limits.h with its value,
and no other."""
import pathlib
import re
import sys

root = pathlib.Path(sys.argv[1])


def number(text):
    shifted = re.fullmatch(r"\(\(size_t\)1 << (\d+)\)", text)
    if shifted:
        return f"2^{shifted.group(1)}"
    return text.rstrip("uf")


header = (root / "core" / "limits.h").read_text(encoding="utf-8")
limits = {name: number(value.strip()) for name, value in
          re.findall(r"^#define (TSPK_MAX_\w+)\s+(.+?)\s*(?:/\*.*)?$", header, re.M)}
document = (root / "SECURITY.md").read_text(encoding="utf-8")
told = dict(re.findall(r"^\| `(TSPK_MAX_\w+)` \| (\S+) \|", document, re.M))
wrong = sorted(name for name in limits.keys() | told.keys() if limits.get(name) != told.get(name))
for name in wrong:
    print(f"{name}: {limits.get(name)} in core/limits.h, {told.get(name)} in SECURITY.md")
print(f"TRUST|limits told in SECURITY.md|{len(limits)}|{len(limits) - len(wrong)}|")
sys.exit(1 if wrong or not limits else 0)
