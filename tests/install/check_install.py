# SPDX-License-Identifier: Apache-2.0
"""What `meson install` leaves, and a program that is built on nothing but it.

usage: check_install.py BUILD SOURCE_ROOT PREFIX VERSION
"""
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import unittest

BUILD, ROOT, PREFIX, VERSION = sys.argv[1:5]
ROOT = pathlib.Path(ROOT)
HEADERS = sorted(path.name for path in (ROOT / "include" / "transpike").glob("*.h"))
PAGES = ["transpike.1"] + [f"transpike-{name}.1" for name in re.findall(
    r'(?m)^    \{TSPK_CLI_[A-Z]+, "([a-z]+)"', (ROOT / "cli" / "options.c").read_text())]
# The very meson that made the build folder: another version cannot read it.
MESON = shlex.split(re.search(r"(?m)^rule REGENERATE_BUILD\n command = (.*) --internal",
                              pathlib.Path(BUILD, "build.ninja").read_text())[1])
FASHION = pathlib.Path("/usr/share/datasets/fashion-mnist/train-images-idx3-ubyte.gz")


def must(*words, **options):
    result = subprocess.run(list(map(str, words)), capture_output=True, text=True, **options)
    if result.returncode:
        raise AssertionError(f"{words}: {result.stdout}{result.stderr}")
    return result.stdout


class Installed(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.work = pathlib.Path(folder.name)
        cls.top = cls.work / "tree"
        must(*MESON, "install", "-C", BUILD, "--no-rebuild", "--quiet", "--destdir", cls.top)
        cls.prefix = cls.top / PREFIX.lstrip("/")
        cls.libraries = next(cls.prefix.rglob("libtranspike.so")).parent

    def pkg_config(self, *words):
        text = must("pkg-config", f"--define-variable=prefix={self.prefix}", *words, "transpike",
                    env={**os.environ, "PKG_CONFIG_PATH": str(self.libraries / "pkgconfig")})
        return shlex.split(text)

    def build(self, compiler, name, text):
        source = self.work / name
        source.write_text(text)
        program = self.work / "program"
        must(*compiler, "-Wall", "-Wextra", "-Werror", "-pedantic", source, "-o", program,
             *self.pkg_config("--cflags", "--libs"))
        return program

    def run_program(self, program, *words, **options):
        return must(program, *words, **options,
                    env={**os.environ, "LD_LIBRARY_PATH": str(self.libraries),
                         "OMP_WAIT_POLICY": "passive"})

    def test_files(self):
        lib = self.libraries.relative_to(self.prefix)
        wanted = {f"include/transpike/{name}" for name in HEADERS}
        wanted |= {f"share/man/man1/{name}" for name in PAGES}
        wanted |= {"bin/transpike", "share/bash-completion/completions/transpike.bash",
                   f"{lib}/pkgconfig/transpike.pc", f"{lib}/libtranspike.a",
                   f"{lib}/libtranspike.so", f"{lib}/libtranspike.so.{VERSION.split('.')[0]}",
                   f"{lib}/libtranspike.so.{VERSION}"}
        found = {str(path.relative_to(self.prefix)) for path in self.prefix.rglob("*")
                 if not path.is_dir() and "python3" not in str(path)}
        self.assertEqual(found, wanted)

    def test_command(self):
        self.assertEqual(must(self.prefix / "bin" / "transpike", "--version"),
                         f"transpike {VERSION}\n")

    def test_pkg_config(self):
        self.assertEqual(self.pkg_config("--modversion"), [VERSION])
        self.assertIn("-ltranspike", self.pkg_config("--libs"))

    def test_every_header_alone(self):
        compilers = [["cc", "-std=c99"]]
        if shutil.which("c++"):
            compilers.append(["c++", "-std=c++11"])
        for header in HEADERS:
            for compiler in compilers:
                name = "alone.c" if compiler[0] == "cc" else "alone.cpp"
                program = self.build(compiler, name,
                                     f"#include <transpike/{header}>\n"
                                     f"#include <transpike/transpike.h>\n"
                                     "int main(void) { return tspk_version()[0] == 0; }\n")
                self.run_program(program)

    def test_minimal_program(self):
        program = self.build(["cc", "-std=c11"], "minimal.c",
                             (ROOT / "samples" / "minimal.c").read_text())
        if not FASHION.exists():
            self.skipTest("Debian's dataset-fashion-mnist is missing")
        text = self.run_program(program, ROOT / "samples" / "fashion_vit.onnx", FASHION,
                                self.work / "minimal.spike")
        lines = text.splitlines()
        self.assertEqual(len(lines), 4, text)
        answers = [re.search(r"class (\d+), label (\d+), energy (0\.\d+) ", line).groups()
                   for line in lines]
        self.assertGreaterEqual(sum(found == label for found, label, _ in answers), 3, text)
        self.assertTrue((self.work / "minimal.spike").exists())


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
