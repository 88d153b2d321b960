# SPDX-License-Identifier: Apache-2.0
"""A network of the size of ViT-B (about 350 MB, generated) is imported and simplified within one and
a half times the memory of its file. Prints time beside the time of reading the file and hashing it.

check_onnx_large.py ONNX_TOOL; needs numpy and onnx."""
import hashlib
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time

try:
    import numpy as np
    import onnx
    from onnx import TensorProto, helper
except ImportError as missing:
    print('skipped:', missing)
    sys.exit(77)

WIDTH, HEADS, BLOCKS, PATCHES, CLASSES, SEED = 768, 12, 12, 196, 1000, 11
MOST_MEMORY, MOST_SECONDS = 1.5, 30.0


class Builder:
    """Nodes and initializers as the legacy exporter writes them: x W with W [in, out]."""

    def __init__(self):
        self.rng, self.nodes, self.tensors = np.random.default_rng(SEED), [], []

    def tensor(self, *shape):
        name = f't{len(self.tensors)}'
        data = self.rng.standard_normal(shape, np.float32) * np.float32(0.02)
        self.tensors.append(helper.make_tensor(name, TensorProto.FLOAT, shape, data.tobytes(), True))
        return name

    def ints(self, *values):
        name = f't{len(self.tensors)}'
        self.tensors.append(helper.make_tensor(name, TensorProto.INT64, [len(values)], values))
        return name

    def node(self, op, *inputs, **attributes):
        name = f'n{len(self.nodes)}'
        self.nodes.append(helper.make_node(op, list(inputs), [name], name=name, **attributes))
        return name

    def linear(self, x, n_in, n_out):
        return self.node('Add', self.node('MatMul', x, self.tensor(n_in, n_out)),
                         self.tensor(n_out))

    def norm(self, x):
        return self.node('LayerNormalization', x, self.tensor(WIDTH), self.tensor(WIDTH))

    def part(self, qkv, i, perm):
        x = self.node('Slice', qkv, self.ints(i * WIDTH), self.ints((i + 1) * WIDTH), self.ints(2))
        x = self.node('Reshape', x, self.ints(1, PATCHES + 1, HEADS, WIDTH // HEADS))
        return self.node('Transpose', x, perm=perm)

    def block(self, x):
        qkv = self.linear(self.norm(x), WIDTH, 3 * WIDTH)
        q, v = (self.part(qkv, i, [0, 2, 1, 3]) for i in (0, 2))
        k = self.part(qkv, 1, [0, 2, 3, 1])
        p = self.node('Softmax', self.node('Mul', self.node('MatMul', q, k), 'scale'))
        y = self.node('Transpose', self.node('MatMul', p, v), perm=[0, 2, 1, 3])
        y = self.linear(self.node('Reshape', y, self.ints(1, PATCHES + 1, WIDTH)), WIDTH, WIDTH)
        x = self.node('Add', x, y)
        h = self.node('Gelu', self.linear(self.norm(x), WIDTH, 4 * WIDTH))
        return self.node('Add', x, self.linear(h, 4 * WIDTH, WIDTH))

    def model(self):
        self.tensors.append(helper.make_tensor('scale', TensorProto.FLOAT, [], [0.125]))
        x = self.node('Conv', 'image', self.tensor(WIDTH, 3, 16, 16), self.tensor(WIDTH),
                      strides=[16, 16], kernel_shape=[16, 16])
        x = self.node('Transpose', self.node('Reshape', x, self.ints(1, WIDTH, PATCHES)),
                      perm=[0, 2, 1])
        x = self.node('Concat', self.tensor(1, 1, WIDTH), x, axis=1)
        x = self.node('Add', x, self.tensor(1, PATCHES + 1, WIDTH))
        for _ in range(BLOCKS):
            x = self.block(x)
        x = self.node('Gather', self.norm(x), self.ints(0), axis=1)
        x = self.node('Reshape', x, self.ints(1, WIDTH))
        y = self.linear(x, WIDTH, CLASSES)
        port = lambda name, *shape: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        graph = helper.make_graph(self.nodes, 'g', [port('image', 1, 3, 224, 224)],
                                  [port(y, 1, CLASSES)], self.tensors)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid('', 20)], ir_version=9)


def main():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, 'large.onnx')
        # In a process of its own: what this one holds would count as memory of those that it starts.
        maker = multiprocessing.Process(target=lambda: onnx.save(Builder().model(), path))
        maker.start()
        maker.join()
        size = os.path.getsize(path)
        start = time.monotonic()
        with open(path, 'rb') as file:
            digest = hashlib.file_digest(file, 'sha256')
        hashing = time.monotonic() - start
        start = time.monotonic()
        process = subprocess.Popen([sys.argv[1], 'check', path], stdout=subprocess.PIPE)
        answer = process.stdout.read().decode()
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.monotonic() - start
        memory = usage.ru_maxrss * 1024
        print(f'{size / 1e6:.0f} MB, sha256 {digest.hexdigest()[:8]}: {memory / 1e6:.0f} MB of memory '
              f'({memory / size:.2f} times), {seconds:.2f} s wall and '
              f'{usage.ru_utime + usage.ru_stime:.2f} s of CPU; reading and hashing it takes '
              f'{hashing:.2f} s')
        if status or not answer.strip().endswith(': OK'):
            print(answer)
            return 1
    return 0 if memory <= MOST_MEMORY * size and seconds < MOST_SECONDS else 1


if __name__ == '__main__':
    sys.exit(main())
