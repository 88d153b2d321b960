# SPDX-License-Identifier: Apache-2.0
"""The size of an image with symbolic height and width, as the position embedding tells it: a table
[1, rows, D] goes before weights of rank 2, whatever their order; two sizes that fit are refused.

check_onnx_image_size.py ONNX_TOOL; needs numpy, onnx."""
import os
import subprocess
import sys
import tempfile

try:
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper
except ImportError as missing:
    print('skipped:', missing)
    sys.exit(77)


def table(name, *shape):
    return numpy_helper.from_array(np.zeros(shape, np.float32), name)


def impossible():
    return TensorProto(name='impossible', data_type=TensorProto.FLOAT, dims=[-2**63, 4])


def cases():
    """(name, tables, whether tokens and position embedding are added, size or refusal)"""
    wide, narrow = table('position', 1, 26, 4), table('position', 1, 17, 4)
    weights = table('weights', 64, 4)
    yield 'weights first', [weights, wide], False, 10
    yield 'weights last', [wide, weights], False, 10
    yield 'weights alone', [weights], False, 16
    yield 'two sizes', [narrow], False, 'UNSUPPORTED'
    yield 'two sizes, one of them adds up', [narrow], True, 8
    yield 'the same size twice', [wide, table('again', 1, 26, 4)], False, 10
    yield 'rows below every bound', [impossible(), wide], False, 10


def build(tables, is_added):
    node = helper.make_node
    nodes = [node('Conv', ['x', 'w'], ['c'], strides=[2, 2])]
    constants = [table('w', 4, 3, 2, 2)] + tables
    if is_added:
        constants += [numpy_helper.from_array(np.array([0, 4, -1]), 'flat'),
                      table('class', 1, 1, 4)]
        nodes += [node('Reshape', ['c', 'flat'], ['r']),
                  node('Transpose', ['r'], ['t'], perm=[0, 2, 1]),
                  node('Concat', ['class', 't'], ['tokens'], axis=1),
                  node('Add', ['tokens', 'position'], ['a']),
                  node('ReduceMean', ['a'], ['y'], axes=[1], keepdims=0)]
    else:
        nodes += [node('GlobalAveragePool', ['c'], ['p']), node('Flatten', ['p'], ['y'])]
    graph = helper.make_graph(
        nodes, 'g', [helper.make_tensor_value_info('x', TensorProto.FLOAT, ['b', 3, 'h', 'w'])],
        [helper.make_tensor_value_info('y', TensorProto.FLOAT, ['b', None])], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)], ir_version=8)


def main():
    n, wrong = 0, 0
    with tempfile.TemporaryDirectory() as folder:
        path, image = (os.path.join(folder, name) for name in ('m.onnx', 'x.npy'))
        for name, tables, is_added, expected in cases():
            onnx.save(build(tables, is_added), path)
            size = 8 if isinstance(expected, str) else expected
            np.save(image, np.zeros((1, 3, size, size), np.float32))
            done = subprocess.run([sys.argv[1], 'run', path, os.path.join(folder, 'o'), image],
                                  capture_output=True, text=True)
            n += 1
            if done.stderr.strip().endswith(f'[{expected}]') if isinstance(expected, str) \
                    else done.returncode == 0:
                continue
            wrong += 1
            print(f'{name}: {done.stderr.strip()} (exit {done.returncode}), expected {expected}')
    print(f'{n} models, {wrong} with another outcome')
    return 1 if wrong else 0


if __name__ == '__main__':
    sys.exit(main())
