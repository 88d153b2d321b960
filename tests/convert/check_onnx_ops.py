# SPDX-License-Identifier: Apache-2.0
"""Operator forms of opsets 9 to 23 against onnxruntime: attributes that became inputs, other
defaults, negative axes, broadcasting. One small model a form and opset, seeded inputs.

check_onnx_ops.py ONNX_TOOL; needs numpy, onnx, onnxruntime."""
import os
import subprocess
import sys
import tempfile

try:
    import numpy as np
    import onnx
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper
except ImportError as missing:
    print('skipped:', missing)
    sys.exit(77)

SEED = 7
X = (2, 3, 4, 6)


def ints(*values):
    return np.array(values, np.int64)


def forms(rng):
    """(name, operator, opsets, [input shape or constant], attributes, outputs)"""
    f = lambda *shape: rng.standard_normal(shape).astype(np.float32)
    every = (9, 10, 11, 12, 13, 14, 18, 20, 23)
    old, new = (9, 11, 12), (13, 18, 23)
    yield from ((op, op, every, [X], {}, 1) for op in
                ('Abs', 'Neg', 'Exp', 'Erf', 'Sin', 'Cos', 'Tanh', 'Sigmoid', 'Relu', 'Floor',
                 'Ceil', 'HardSigmoid', 'Identity', 'Softmax', 'Transpose', 'Flatten', 'GlobalAveragePool',
                 'GlobalMaxPool', 'Reciprocal'))
    yield from ((op, op, every, [X, (3, 1, 6)], {}, 1) for op in ('Add', 'Sub', 'Mul', 'Div'))
    yield from ((op, op, every, [X, (4, 6), (1,)], {}, 1) for op in ('Max', 'Min', 'Sum', 'Mean'))
    yield 'MatMul', 'MatMul', every, [X, (3, 6, 5)], {}, 1
    yield 'MatMul 1-D', 'MatMul', every, [X, (6,)], {}, 1
    for axis in (0, 1, 2, -1, -2):
        yield f'Softmax {axis}', 'Softmax', every, [X], {'axis': axis}, 1
        yield f'Flatten {axis}', 'Flatten', every, [X], {'axis': axis}, 1
        yield f'Concat {axis}', 'Concat', every, [X, X, f(*X)], {'axis': axis}, 1
        yield f'Gather {axis}', 'Gather', every, [X, ints(1, -1, 0)], {'axis': axis}, 1
        yield f'Gather scalar {axis}', 'Gather', every, [X, np.array(-1)], {'axis': axis}, 1
    yield 'Squeeze', 'Squeeze', old, [(1, 3, 1, 4)], {'axes': [0, 2]}, 1
    yield 'Squeeze', 'Squeeze', new, [(1, 3, 1, 4), ints(0, -2)], {}, 1
    yield 'Squeeze all', 'Squeeze', every, [(1, 3, 1, 4)], {}, 1
    yield 'Unsqueeze', 'Unsqueeze', old, [(3, 4)], {'axes': [0, 3]}, 1
    yield 'Unsqueeze', 'Unsqueeze', new, [(3, 4), ints(-1, 0)], {}, 1
    yield 'Split', 'Split', old, [X], {'axis': -1, 'split': [1, 2, 3]}, 3
    yield 'Split', 'Split', new, [X, ints(1, 2, 3)], {'axis': -1}, 3
    yield 'Split even', 'Split', range(9, 18), [X], {'axis': 3}, 2
    yield 'Split num_outputs', 'Split', range(18, 24), [(2, 7)], {'axis': 1, 'num_outputs': 3}, 3
    yield 'Slice', 'Slice', [9], [X], {'starts': [1, -3], 'ends': [9, -1], 'axes': [2, 3]}, 1
    yield 'Slice', 'Slice', range(10, 24), \
        [X, ints(1, -1), ints(9, -100), ints(2, 3), ints(2, -2)], {}, 1
    yield 'Slice no axes', 'Slice', range(10, 24), [X, ints(1, 0), ints(2, -1)], {}, 1
    for op in ('ReduceMean', 'ReduceMax', 'ReduceMin', 'ReduceProd', 'ReduceL2'):
        yield op, op, range(9, 18), [X], {'axes': [-1, 1], 'keepdims': 0}, 1
        yield op, op, range(18, 24), [X, ints(-1, 1)], {'keepdims': 0}, 1
        yield op + ' all', op, every, [X], {}, 1
    yield 'ReduceSum', 'ReduceSum', old, [X], {'axes': [2]}, 1
    yield 'ReduceSum', 'ReduceSum', new, [X, ints(2)], {}, 1
    yield 'ReduceSum no-op', 'ReduceSum', new, [X], {'noop_with_empty_axes': 1}, 1
    yield 'ArgMax', 'ArgMax', every, [X], {'axis': 2, 'keepdims': 0}, 1
    yield 'Clip', 'Clip', [9, 10], [X], {'min': -0.5, 'max': 0.25}, 1
    yield 'Clip', 'Clip', range(11, 24), [X, np.float32(-0.5), np.float32(0.25)], {}, 1
    yield 'Clip max', 'Clip', range(11, 24), [X, None, np.float32(0.25)], {}, 1
    yield 'Pad', 'Pad', [9, 10], [X], {'pads': [0, 1, 0, 2, 0, 0, 3, 0], 'value': 1.5}, 1
    yield 'Pad', 'Pad', range(11, 24), [X, ints(0, 1, 0, 2, 0, 0, 3, 0), np.float32(1.5)], {}, 1
    yield 'Pad axes', 'Pad', range(18, 24), [X, ints(1, 2), None, ints(-1)], {}, 1
    for mode in ('reflect', 'edge', 'wrap'):
        yield f'Pad {mode}', 'Pad', range(11 if mode != 'wrap' else 19, 24), \
            [(2, 3, 4), ints(0, 2, 1, 0, 1, 3)], {'mode': mode}, 1
    yield 'Pad crop', 'Pad', range(11, 24), [X, ints(0, 1, -1, 2, 0, 0, -2, -3)], {}, 1
    yield 'Pad computed', 'Pad', range(11, 24), [(2, 3), ints(0, 1, 2, 0), ()], {}, 1
    yield 'Expand', 'Expand', every, [(3, 1), ints(2, 1, 4)], {}, 1
    yield 'Tile', 'Tile', every, [(3, 2), ints(2, 3)], {}, 1
    yield 'Reshape', 'Reshape', every, [X, ints(0, -1, 2)], {}, 1
    yield 'Reshape allowzero', 'Reshape', range(14, 24), [X, ints(6, -1)], {'allowzero': 1}, 1
    yield 'Transpose', 'Transpose', every, [X], {'perm': [2, 0, 3, 1]}, 1
    yield 'Pow', 'Pow', every, [X, np.float32(3)], {}, 1
    yield 'Pow int', 'Pow', range(12, 24), [X, np.array(2)], {}, 1
    yield 'Mod', 'Mod', range(10, 24), [X, np.float32(0.7)], {'fmod': 1}, 1
    yield 'Where', 'Where', every, [np.array([[True], [False], [True], [True]]), X, (6,)], {}, 1
    yield 'Gelu', 'Gelu', range(20, 24), [X], {}, 1
    yield 'Gelu tanh', 'Gelu', range(20, 24), [X], {'approximate': 'tanh'}, 1
    yield 'HardSwish', 'HardSwish', range(14, 24), [X], {}, 1
    yield 'Round', 'Round', range(11, 24), [X], {}, 1
    yield 'Dropout', 'Dropout', every, [X], {}, 1
    norm = [X, f(6), f(6)]
    yield 'LayerNormalization', 'LayerNormalization', range(17, 24), norm, {'epsilon': 1e-3}, 1
    yield 'LayerNormalization 2', 'LayerNormalization', range(17, 24), [X, f(4, 6)], {'axis': -2}, 1
    yield 'RMSNormalization', 'RMSNormalization', [23], [X, f(6)], {}, 1
    yield 'BatchNormalization', 'BatchNormalization', every, [X, f(3), f(3), f(3), f(3) ** 2], {}, 1
    yield 'Conv', 'Conv', every, [(1, 4, 9, 8), f(6, 2, 3, 2), f(6)], \
        {'group': 2, 'strides': [2, 1], 'pads': [1, 0, 2, 1], 'dilations': [1, 2]}, 1
    for mode in ('SAME_UPPER', 'SAME_LOWER', 'VALID'):
        yield f'Conv {mode}', 'Conv', every, [(1, 2, 9, 8), f(3, 2, 3, 2)], \
            {'auto_pad': mode, 'strides': [2, 3]}, 1
    yield 'Conv 1-D', 'Conv', every, [(2, 4, 9), f(6, 2, 3), f(6)], \
        {'group': 2, 'strides': [2], 'pads': [1, 2], 'dilations': [2], 'kernel_shape': [3]}, 1
    yield 'Conv 1-D same', 'Conv', every, [(2, 4, 9), f(6, 4, 2)], {'auto_pad': 'SAME_LOWER'}, 1
    yield 'Gemm', 'Gemm', every, [(4, 5), f(7, 5), f(7)], {'transB': 1}, 1
    yield 'Gemm scaled', 'Gemm', every, [(5, 4), f(5, 7), f(4, 1)], \
        {'transA': 1, 'alpha': 0.5, 'beta': -2.0}, 1
    yield 'Gemm scalar C', 'Gemm', every, [(4, 5), f(5, 7), np.float32(2)], {'beta': 0.5}, 1
    yield 'Gemm computed', 'Gemm', every, [(4, 5), (7, 5), (4, 7)], {'transB': 1, 'alpha': 3.0}, 1
    for equation in ('bhid,bhjd->bhij', 'bhij,bhjd->bihd', 'bhid,hdo->bio', 'bhid->bdi'):
        shapes = {'bhid': X, 'bhjd': (2, 3, 5, 6), 'bhij': (2, 3, 4, 5), 'hdo': (3, 6, 7)}
        operands = [shapes[o] for o in equation.split('->')[0].split(',')]
        yield f'Einsum {equation}', 'Einsum', range(12, 24), operands, {'equation': equation}, 1
    for equation, shapes in (('...ij,...jk->...ik', [(2, 3, 4, 5), (2, 3, 5, 6)]),
                             ('b...d,de->b...e', [(2, 3, 4, 5), (5, 6)]),
                             ('...ij,jk', [(2, 4, 5), (5, 6)]),
                             ('ii->i', [(4, 4)]), ('iji->j', [(4, 3, 4)]),
                             ('bij,bjk,kl->bil', [(2, 3, 4), (2, 4, 5), (5, 6)]),
                             ('ij,jk->ik', [f(2, 0), f(0, 3)])):
        yield f'Einsum {equation}', 'Einsum', range(12, 24), shapes, {'equation': equation}, 1
    for mode in ('nearest', 'linear', 'cubic'):
        for how in ('half_pixel', 'align_corners', 'asymmetric', 'pytorch_half_pixel'):
            yield f'Resize {mode} {how}', 'Resize', range(11, 24), \
                [(1, 2, 5, 6), f(0), f(0), ints(1, 2, 9, 4)], \
                {'mode': mode, 'coordinate_transformation_mode': how}, 1
    for name, inputs, attributes in microsoft_attention(f):
        yield name, 'com.microsoft.' + name.split()[0], [17], inputs, attributes, 1
    yield 'Attention', 'Attention', [23], [X, (2, 3, 5, 6), (2, 3, 5, 2)], {'scale': 0.3}, 1
    yield 'Attention packed', 'Attention', [23], [(1, 4, 6), (1, 5, 6), (1, 5, 9), f(4, 5)], \
        {'q_num_heads': 3, 'kv_num_heads': 3}, 1


def microsoft_attention(f):
    """(name, inputs, attributes) of what onnxruntime's transformer optimiser writes"""
    i32 = lambda *rows: np.array(rows, np.int32)
    x, w, b = (2, 5, 8), f(8, 24), f(24)
    yield 'Attention', [x, w, b], {'num_heads': 2}
    yield 'Attention scale', [x, w, b], {'num_heads': 4, 'scale': 0.3}
    yield 'Attention causal', [x, w, b], {'num_heads': 2, 'unidirectional': 1}
    yield 'Attention bias', [x, w, b, None, None, (2, 2, 5, 5)], {'num_heads': 2}
    yield 'Attention mask', [x, w, b, i32([1, 1, 0, 1, 1], [1, 0, 0, 0, 1])], {'num_heads': 2}
    yield 'Attention lengths', [x, w, b, i32(3, 5)], {'num_heads': 2}
    yield 'Attention widths', [x, f(8, 20), f(20)], \
        {'num_heads': 2, 'qkv_hidden_sizes': [6, 6, 8]}
    q, k, v = (2, 4, 8), (2, 5, 8), (2, 5, 12)
    yield 'MultiHeadAttention', [q, k, v], {'num_heads': 2}
    yield 'MultiHeadAttention bias', [q, k, v, f(28)], {'num_heads': 4}
    yield 'MultiHeadAttention scale', [q, k, v, f(28)], {'num_heads': 4, 'scale': 0.7}
    yield 'MultiHeadAttention heads', [q, (2, 4, 5, 2), (2, 4, 5, 2)], {'num_heads': 4}
    yield 'MultiHeadAttention heads bias', [q, (2, 4, 5, 2), (2, 4, 5, 2), f(24)], {'num_heads': 4}
    yield 'MultiHeadAttention mask', [q, k, v, None, i32([1, 1, 0, 1, 1], [1, 0, 0, 0, 1])], \
        {'num_heads': 2}
    yield 'MultiHeadAttention relative', [q, k, v, None, None, (1, 2, 4, 5)], {'num_heads': 2}
    yield 'MultiHeadAttention packed', [(2, 5, 2, 3, 4)], {'num_heads': 2}
    yield 'MultiHeadAttention packed kv', [q, (2, 5, 2, 2, 4)], {'num_heads': 2}


def build(op, opset, inputs, attributes, n_out, rng):
    names, feeds, constants = [], {}, []
    domain, op = ('com.microsoft', op[14:]) if op.startswith('com.microsoft.') else ('', op)
    for i, given in enumerate(inputs):
        names.append('' if given is None else f'in{i}')
        if isinstance(given, tuple):
            feeds[f'in{i}'] = rng.standard_normal(given).astype(np.float32)
        elif given is not None:
            constants.append(numpy_helper.from_array(np.asarray(given), f'in{i}'))
    outputs = [f'out{i}' for i in range(n_out)]
    node = helper.make_node(op, names, outputs, name='node', domain=domain, **attributes)
    out_type = TensorProto.INT64 if op == 'ArgMax' else TensorProto.FLOAT
    graph = helper.make_graph(
        [node], 'g',
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, a.shape) for n, a in feeds.items()],
        [helper.make_tensor_value_info(n, out_type, None) for n in outputs], constants)
    ir = 4 if opset < 11 else 8 if opset < 20 else 10
    imports = [helper.make_opsetid('', opset)]
    if domain:
        imports.append(helper.make_opsetid(domain, 1))
    return helper.make_model(graph, opset_imports=imports, ir_version=ir), feeds


def reference(model, feeds):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options,
                                           providers=['CPUExecutionProvider'])
    return session.run(None, feeds)


def check(tool, folder, label, model, feeds):
    path = os.path.join(folder, 'm.onnx')
    onnx.save(model, path)
    files = []
    for name, array in feeds.items():
        files.append(os.path.join(folder, name + '.npy'))
        np.save(files[-1], array)
    try:
        expected = reference(model, feeds)
    except Exception as error:  # onnxruntime itself lacks some forms
        print(f'{label}: onnxruntime: {str(error)[:100]}')
        return None
    done = subprocess.run([tool, 'run', path, os.path.join(folder, 'o')] + files,
                          capture_output=True)
    if done.returncode != 0:
        print(f'{label}: {done.stderr.decode(errors="replace").strip()}')
        return False
    for i, want in enumerate(expected):
        have = np.load(os.path.join(folder, f'o{i}.npy'))
        scale = max(float(np.abs(want).max()), 1e-30)
        if have.shape != want.shape or not np.abs(have - want).max() <= 2e-5 * scale:
            print(f'{label}: output {i} {have.shape} {want.shape} '
                  f'{np.abs(have - want).max() if have.shape == want.shape else ""}')
            return False
    return True


def main():
    rng = np.random.default_rng(SEED)
    counts = {True: 0, False: 0, None: 0}
    print('seed', SEED)
    with tempfile.TemporaryDirectory() as folder:
        for name, op, opsets, inputs, attributes, n_out in forms(rng):
            for opset in opsets:
                model, feeds = build(op, opset, inputs, attributes, n_out, rng)
                counts[check(sys.argv[1], folder, f'{name} opset {opset}', model, feeds)] += 1
    print(f'{counts[True]} agree, {counts[False]} differ, {counts[None]} unknown to onnxruntime')
    return 1 if counts[False] or not counts[True] else 0


if __name__ == '__main__':
    sys.exit(main())
