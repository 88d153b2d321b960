# SPDX-License-Identifier: Apache-2.0
"""Damaged, hostile and foreign files: each is refused with the status that bad.csv asks for (or
one of them), in one line, within a second of CPU and 256 MiB over its size; nothing crashes or
hangs. Then copies of good files with random damage.

check_onnx_bad.py ONNX_TOOL; needs TRANSPIKE_DATA."""
import csv
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile

MOST_SECONDS, MOST_BYTES = 1.0, 256 << 20
MEASURED = 'ASAN_OPTIONS' not in os.environ  # a sanitizer takes time and memory of its own


def status_of(line):
    if line.endswith(': OK'):
        return 'OK'
    match = re.search(r'\[([A-Z]+)\]$', line)
    return match.group(1) if match else 'NONE'


def check_listed(tool, base):
    wrong, slowest, largest = 0, (0.0, ''), (0, '')
    rows = list(csv.DictReader(open(os.path.join(base, 'bad.csv'), newline='')))
    for row in rows:
        path = os.path.join(base, row['file'])
        name = os.path.dirname(row['file'])
        process = subprocess.Popen([tool, 'check', path], stdout=subprocess.PIPE)
        lines = process.stdout.read().decode(errors='replace').splitlines()
        _, status, usage = os.wait4(process.pid, 0)
        got = status_of(lines[0]) if len(lines) == 1 and status == 0 else 'CRASH'
        seconds, memory = usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024
        memory -= sum(entry.stat(follow_symlinks=False).st_size for entry in os.scandir(os.path.dirname(path))
                      if entry.is_file(follow_symlinks=False))
        slowest, largest = max(slowest, (seconds, name)), max(largest, (memory, name))
        if got not in re.findall(r'[A-Z]{2,}', row['expect']):
            wrong += 1
            print(f'{name}: {got}, expected {row["expect"]}: {lines[:1]}')
        if MEASURED and (seconds > MOST_SECONDS or memory > MOST_BYTES):
            wrong += 1
            print(f'{name}: {seconds:.2f} s, {memory / 2**20:.0f} MiB over the size of the file')
    print(f'{len(rows)} files, {wrong} with another outcome; at most {slowest[0]:.2f} s of CPU '
          f'({slowest[1]}) and {largest[0] / 2**20:.0f} MiB over the file ({largest[1]})')
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
