# SPDX-License-Identifier: Apache-2.0
"""Damaged, hostile and foreign files: each is refused with the status that bad.csv asks for (or
one of them), in one line; nothing crashes or hangs. Then copies of good files with random damage.

check_onnx_bad.py ONNX_TOOL; needs TRANSPIKE_DATA."""
import csv
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile

def status_of(line):
    if line.endswith(': OK'):
        return 'OK'
    match = re.search(r'\[([A-Z]+)\]$', line)
    return match.group(1) if match else 'NONE'


def check_listed(tool, base):
    wrong = 0
    rows = list(csv.DictReader(open(os.path.join(base, 'bad.csv'), newline='')))
    for row in rows:
        path = os.path.join(base, row['file'])
        name = os.path.dirname(row['file'])
        try:
            done = subprocess.run([tool, 'check', path], capture_output=True, timeout=60)
        except subprocess.TimeoutExpired:
            print(name, ': hangs')
            wrong += 1
            continue
        lines = done.stdout.decode(errors='replace').splitlines()
        got = status_of(lines[0]) if len(lines) == 1 and done.returncode == 0 else 'CRASH'
        expected = re.findall(r'[A-Z]{2,}', row['expect'])
        if got not in expected:
            wrong += 1
            print(f'{name}: {got}, expected {row["expect"]}: {lines[:1]} {done.stderr[-300:]!r}')
    print(f'{len(rows)} files, {wrong} with another outcome')
    return wrong


def check_mutated(tool, data, folder):
    wrong = 0
    for seed, case in enumerate(('hand-min__legacy__op17__b1', 'hand-min__legacy+extbig__op11__dyn',
                                 'tv-vit__legacy113__op15__b1_fn', 'hf-vit__dynamo__op23__dyn')):
        place = os.path.join(folder, case)
        shutil.copytree(os.path.join(data, 'onnx-vit', case), place)
        done = subprocess.run([tool, 'mutate', os.path.join(place, 'model.onnx'), str(seed), '150',
                               os.path.join(place, 'damaged.onnx')],
                              capture_output=True, timeout=300)
        print(case, done.stdout.decode().replace('\n', ' '))
        if done.returncode != 0:
            wrong += 1
            print(done.stderr[-2000:].decode(errors='replace'))
    return wrong


def main():
    data = os.environ.get('TRANSPIKE_DATA')
    if not data or not os.path.exists(os.path.join(data, 'onnx-vit', 'bad.tar.gz')):
        print('skipped: TRANSPIKE_DATA is not set or holds no onnx-vit/bad.tar.gz')
        return 77
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(os.path.join(data, 'onnx-vit', 'bad.tar.gz')) as tar:
            tar.extractall(folder)
        wrong = check_listed(sys.argv[1], os.path.join(folder, 'bad'))
        wrong += check_mutated(sys.argv[1], data, folder)
    return 1 if wrong else 0


if __name__ == '__main__':
    sys.exit(main())
