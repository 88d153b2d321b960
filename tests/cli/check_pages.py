# SPDX-License-Identifier: Apache-2.0
"""The manual pages, the completion and docs/cli.md say what `--help` says.

usage: check_pages.py TRANSPIKE SOURCE_ROOT BUILD_CLI
"""
import pathlib
import re
import shutil
import subprocess
import sys
import unittest

TOOL, ROOT, PAGES = map(pathlib.Path, sys.argv[1:4])


def help_of(*words):
    return subprocess.run([TOOL, *words, "--help"], capture_output=True, text=True,
                          check=True).stdout


COMMANDS = re.findall(r"(?m)^  ([a-z]+) +[A-Z]", help_of().partition("Commands:")[2])
OPTIONS = {command: sorted(set(re.findall(r"(?m)^  (?:-[a-z],|   ) (--[a-z][a-z-]*)",
                                          help_of(command)))) for command in COMMANDS}


def read_page(name):
    return (PAGES / name).read_text()


class Manual(unittest.TestCase):
    def test_every_option_and_exit_code(self):
        for command in COMMANDS:
            text = read_page(f"transpike-{command}.1").replace("\\-", "-")
            found = re.findall(r"(?m)^(?:\\fB-[a-z]\\fR, )?\\fB(--[a-z-]+)\\fR", text)
            self.assertEqual(sorted(found), OPTIONS[command])
            codes = re.findall(r"(?m)^ +(\d+)  ([A-Z]+) ", help_of(command))
            self.assertGreater(len(codes), 9)
            for code, name in codes:
                self.assertIn(f'.BR {code} " [{name}]"', text)
            self.assertIn(f"transpike-{command} (1)", read_page("transpike.1").replace("\\-", "-"))

    @unittest.skipUnless(shutil.which("groff"), "groff is missing")
    def test_groff_has_no_complaint(self):
        for page in PAGES.glob("*.1"):
            result = subprocess.run(["groff", "-man", "-Tascii", "-ww", "-rLL=100n", page],
                                    capture_output=True, text=True)
            self.assertEqual((result.returncode, result.stderr), (0, ""), page)
            self.assertIn("EXIT STATUS", re.sub(r".\x08", "", result.stdout))


@unittest.skipUnless(shutil.which("bash"), "bash is missing")
class Completion(unittest.TestCase):
    def complete(self, *words):
        """What bash offers for the last word."""
        script = ('source "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _transpike; '
                  'printf "%s\\n" "${COMPREPLY[@]}"')
        result = subprocess.run(["bash", "-c", script, PAGES / "transpike.bash", "transpike",
                                 *words], capture_output=True, text=True, cwd=ROOT)
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        return result.stdout.split()

    def test_commands(self):
        self.assertEqual(self.complete("va"), ["validate"])
        self.assertEqual(self.complete("help", "ins"), ["inspect"])
        for command in COMMANDS:
            self.assertIn(command, self.complete(""))

    def test_options(self):
        for command in COMMANDS:
            self.assertEqual(sorted(self.complete(command, "--")), OPTIONS[command])
        self.assertEqual(self.complete("run", "a.spike", "--pol"), ["--policy"])

    def test_values(self):
        self.assertEqual(self.complete("run", "--mode", "b"), ["balanced"])
        self.assertEqual(self.complete("run", "--mode", "=", "b"), ["balanced"])
        self.assertEqual(self.complete("run", "--mode", "="), ["exact", "balanced", "fast"])
        self.assertEqual(self.complete("run", "--steps", ""), [])

    def test_files(self):
        for words in (["run", "READ"], ["convert", "--data", "READ"], ["run", "-o", "READ"],
                      ["validate", "--onnx", "=", "READ"]):
            self.assertEqual(self.complete(*words), ["README.md"])


class Reference(unittest.TestCase):
    def test_documentation_names_the_options_that_there_are(self):
        text = (ROOT / "docs" / "cli.md").read_text()
        sections = dict(re.findall(r"(?ms)^## ([a-z]+)\n(.*?)(?=^## |\Z)", text))
        common = text.partition("## Common options")[2].partition("\n## ")[0]
        for command in COMMANDS:
            named = set(re.findall(r"--[a-z][a-z-]*", sections[command] + common))
            for option in OPTIONS[command]:
                self.assertIn(option, named, f"docs/cli.md, {command}")
            rows = re.findall(r"(?m)^\| ([^|]*(?:\\\|[^|]*)*) \|", sections[command])
            for row in rows:
                for option in re.findall(r"--[a-z][a-z-]*", row):
                    self.assertIn(option, OPTIONS[command], f"docs/cli.md, table of {command}")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
