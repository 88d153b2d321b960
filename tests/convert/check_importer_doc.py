# SPDX-License-Identifier: Apache-2.0
"""The tables of docs/importer.md are those that the registry and the conversion test give.

check_importer_doc.py ONNX_TOOL DOCUMENT [--write]; --write puts them there. Standard library only."""
import ast
import os
import re
import subprocess
import sys

CLASSES = {'f': 'floats', 'n': 'numbers', 'a': 'any'}


def operators(tool):
    words = [tool, 'opsets']
    least, most = subprocess.run(words, capture_output=True, check=True, text=True).stdout.split()
    rows = subprocess.run([tool, 'registry'], capture_output=True, check=True,
                          text=True).stdout.splitlines()
    yield '| domain | operator | opsets | inputs | element types | becomes |'
    yield '|---|---|---|---|---|---|'
    for row in rows:
        domain, name, since, until, fewest, more, types, core = row.split('\t')
        if domain:
            opsets = 'all'
        else:
            opsets = f'{max(int(since), int(least))} to {min(int(until), int(most))}'
        inputs = fewest if fewest == more else f'{fewest} to {more}' if int(more) < 100 else \
            f'{fewest} or more'
        yield f'| {domain or "ai.onnx"} | {name} | {opsets} | {inputs} | {CLASSES[types[0]]} | {core} |'


def variants(folder):
    """The kinds that check_onnx_convert.py converts, read without importing it."""
    source = open(os.path.join(folder, 'check_onnx_convert.py'), encoding='utf-8').read()
    for statement in ast.parse(source).body:
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == 'KINDS':
            kinds = ast.literal_eval(statement.value)
    yield '| kind | attentions | linear sites |'
    yield '|---|---|---|'
    for kind, (_, attentions, linears) in kinds.items():
        yield f'| {kind} | {attentions} | {linears} |'


def main():
    tool, path = sys.argv[1:3]
    old = open(path, encoding='utf-8').read()
    new = old
    for name, lines in (('operators', operators(tool)),
                        ('variants', variants(os.path.dirname(os.path.abspath(__file__))))):
        block = f'<!-- {name}: begin -->\n' + '\n'.join(lines) + f'\n<!-- {name}: end -->'
        pattern = f'<!-- {name}: begin -->.*?<!-- {name}: end -->'
        if not re.search(pattern, new, re.S):
            print(f'{path} has no place for the table of {name}')
            return 1
        new = re.sub(pattern, lambda _: block, new, flags=re.S)
    if new == old:
        return 0
    if '--write' in sys.argv:
        with open(path, 'w', encoding='utf-8') as file:
            file.write(new)
        return 0
    print(f'the tables of {path} differ from the code: run this test with --write')
    return 1


if __name__ == '__main__':
    sys.exit(main())
