# SPDX-License-Identifier: Apache-2.0
"""Small models that are wrong, or ask for what is not computed: each is refused with its status.

check_onnx_refused.py ONNX_TOOL; needs numpy, onnx."""
import os
import re
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


def zeros(*shape):
    return np.zeros(shape, np.float32)


def cases():
    """(name, status, operator, inputs, attributes): an input is (shape, type) or a constant"""
    image = ((1, 8, 2, 2), TensorProto.FLOAT)
    row = ((1, 4), TensorProto.FLOAT)
    for at, name in enumerate(('scale', 'bias', 'mean', 'variance')):
        for short in (1, 7, 9):
            given = [zeros(8)] * 4
            given[at] = zeros(short)
            yield f'BatchNormalization {name} of {short}', 'SHAPE', 'BatchNormalization', \
                [image] + given, {}
    yield 'BatchNormalization, all of one element', 'SHAPE', 'BatchNormalization', \
        [((1, 1 << 22, 1, 1), TensorProto.FLOAT)] + [zeros(1)] * 4, {}
    yield 'BatchNormalization spatial', 'UNSUPPORTED', 'BatchNormalization', \
        [image] + [zeros(8)] * 4, {'spatial': 0}
    yield 'Einsum of 0 and 5 elements', 'SHAPE', 'Einsum', \
        [row, zeros(1 << 20, 0), zeros(5, 2)], {'equation': 'ab,ij,jk->ab'}
    yield 'Einsum of 5 and 0 elements', 'SHAPE', 'Einsum', \
        [row, zeros(2, 5), zeros(0, 2)], {'equation': 'ab,ij,jk->ab'}
    integers = ((1, 4), TensorProto.INT64), np.ones((4, 3), np.int64)
    yield 'Einsum of integers', 'UNSUPPORTED', 'Einsum', integers, {'equation': 'ij,jk->ik'}
    yield 'Gemm of integers', 'UNSUPPORTED', 'Gemm', integers, {}
    yield 'ReduceL2 of integers', 'UNSUPPORTED', 'ReduceL2', integers[:1], {}
    yield 'Constant value_int that is a float', 'FORMAT', 'Constant', [], {'value_int': 1.5}
    yield 'Constant value_floats that are integers', 'FORMAT', 'Constant', [], \
        {'value_floats': [1, 2]}
    yield 'a scalar above every float', 'RANGE', 'Mul', [((1, 4), TensorProto.DOUBLE),
                                                         np.array([1e300])], {}
    yield 'Pad of one axis twice', 'FORMAT', 'Pad', \
        [row, np.array([1, 1, 1, 1]), None, np.array([1, -1])], {}
    yield 'Resize of nothing', 'SHAPE', 'Resize', \
        [zeros(1, 1, 0, 2), None, None, np.array([1, 1, 8, 8])], \
        {'keep_aspect_ratio_policy': 'not_larger'}
    yield from microsoft_attention()


def microsoft_attention():
    multi, q = 'com.microsoft.MultiHeadAttention', ((1, 3, 8), TensorProto.FLOAT)
    packed, packed_kv = (((1, 3, 2, n, 4), TensorProto.FLOAT) for n in (3, 2))
    heads, past, i32 = {'num_heads': 2}, zeros(1, 2, 6, 4), lambda *x: np.array(x, np.int32)
    yield 'bias of packed query, key, value', 'UNSUPPORTED', multi, \
        [packed, None, None, zeros(24)], heads
    yield 'bias of packed key, value', 'UNSUPPORTED', multi, [q, packed_kv, None, zeros(24)], heads
    yield 'packed heads', 'SHAPE', multi, [packed], {'num_heads': 4}
    yield 'packed key heads', 'SHAPE', multi, [q, packed_kv], {'num_heads': 4}
    yield 'key heads', 'SHAPE', multi, [q, past, past], {'num_heads': 4}
    given = [q, q, q, None, None, None, past, past]
    yield 'a mask of more heads than the logits', 'SHAPE', multi, \
        [q, q, q, None, None, ((1, 2, 3, 3), TensorProto.FLOAT)], {'num_heads': 1}
    yield 'past length', 'UNSUPPORTED', multi, given + [i32(2)], heads
    yield 'cache indirection', 'UNSUPPORTED', multi, \
        given + [None, np.zeros((1, 1, 9), np.int32)], heads
    yield 'Attention past length', 'UNSUPPORTED', 'com.microsoft.Attention', \
        [q, zeros(8, 24), zeros(24), None, None, None, i32(2)], heads


def build(op, inputs, attributes):
    domain, op = ('com.microsoft', op[14:]) if op.startswith('com.microsoft.') else ('', op)
    names = ['' if given is None else f'in{i}' for i, given in enumerate(inputs)]
    node = helper.make_node(op, names, ['out'], domain=domain, **attributes)
    graph = helper.make_graph(
        [node], 'g',
        [helper.make_tensor_value_info(n, given[1], given[0])
         for n, given in zip(names, inputs) if isinstance(given, tuple)],
        [helper.make_tensor_value_info('out', TensorProto.FLOAT, None)],
        [numpy_helper.from_array(given, n)
         for n, given in zip(names, inputs) if isinstance(given, np.ndarray)])
    imports = [helper.make_opsetid('', 18), helper.make_opsetid('com.microsoft', 1)]
    return helper.make_model(graph, opset_imports=imports, ir_version=8)


def main():
    n, wrong = 0, 0
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, 'm.onnx')
        for name, status, op, inputs, attributes in cases():
            onnx.save(build(op, inputs, attributes), path)
            done = subprocess.run([sys.argv[1], 'open', path], capture_output=True)
            line = done.stdout.decode(errors='replace').replace(folder, '').strip()
            n += 1
            if done.returncode != 0 or not re.search(rf'\[{status}\]$', line):
                wrong += 1
                print(f'{name}: {line} (exit {done.returncode}), expected {status}')
    print(f'{n} models, {wrong} with another outcome')
    return 1 if wrong else 0


if __name__ == '__main__':
    sys.exit(main())
