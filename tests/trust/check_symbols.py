# SPDX-License-Identifier: Apache-2.0
"""check_symbols.py LIBRARY LIST: the shared library exports the names of the list and no other. A name
that leaves breaks programs; a new one is a promise: it is added to the list by hand."""
import subprocess
import sys

library, listing = sys.argv[1:3]
lines = subprocess.run(["nm", "-D", "--defined-only", library], capture_output=True, text=True,
                       check=True).stdout.split("\n")
# The compiler adds names of its own under the sanitizers and for functions of several versions.
found = {line.split()[-1] for line in lines if line and line.split()[-2] in "TDBRVW"}
found = {name for name in found if not name.startswith(("__asan_", "__odr_asan", "_init", "_fini"))
         and not name.endswith(".resolver")}
wanted = {line.strip() for line in open(listing, encoding="utf-8")
          if line.strip() and not line.startswith("#")}
for name in sorted(wanted - found):
    print(f"{name}: in {listing}, not in the library")
for name in sorted(found - wanted):
    print(f"{name}: exported, but not in {listing}")
print(f"TRUST|exported symbols|{len(wanted | found)}|{len(wanted & found)}|")
sys.exit(found != wanted)
