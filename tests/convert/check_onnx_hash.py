# SPDX-License-Identifier: Apache-2.0
"""The source hash is over the .onnx and every external file that the network is made of, wherever
the tensor stands: an initializer, a Constant, a Constant in a function, one in a branch of If.

check_onnx_hash.py ONNX_TOOL; needs numpy, onnx."""
import hashlib
import os
import subprocess
import sys
import tempfile

try:
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper
except ImportError as missing:
    print('skipped:', missing)
    sys.exit(77)

IMPORTS = [helper.make_opsetid('', 17), helper.make_opsetid('local', 1)]


def external(name):
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[2, 4], data_location=1)
    tensor.external_data.add(key='location', value=f'{name}.bin')
    return tensor


def model():
    info = lambda name, *shape: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
    constant = lambda name: helper.make_node('Constant', [], [name], value=external(name))
    function = helper.make_function(
        'local', 'WithConstant', ['a'], ['b'],
        [constant('in_function'), helper.make_node('Add', ['a', 'in_function'], ['b'])],
        IMPORTS[:1])
    branches = {f'{which}_branch': helper.make_graph([constant(f'in_{which}')], which, [],
                                                     [info(f'in_{which}', 2, 4)])
                for which in ('then', 'else')}
    nodes = [constant('in_constant'),
             helper.make_node('If', ['condition'], ['chosen'], **branches),
             helper.make_node('Add', ['x', 'in_constant'], ['x1']),
             helper.make_node('Add', ['x1', 'chosen'], ['x2']),
             helper.make_node('Add', ['x2', 'in_initializer'], ['x3']),
             helper.make_node('WithConstant', ['x3'], ['y'], domain='local')]
    graph = helper.make_graph(nodes, 'g', [info('x', 2, 4)], [info('y', 2, 4)],
                              [external('in_initializer'),
                               numpy_helper.from_array(np.array(True), 'condition')])
    return helper.make_model(graph, opset_imports=IMPORTS, ir_version=8, functions=[function])


def main():
    order = ['in_initializer', 'in_constant', 'in_then', 'in_function']
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, 'm.onnx')
        data = model().SerializeToString()
        with open(path, 'wb') as file:
            file.write(data)
        for changed in [None] + order + ['in_else']:
            weights = {}
            for name in order + ['in_else']:
                weights[name] = np.full(8, 2 if name == changed else 1, np.float32).tobytes()
                with open(os.path.join(folder, name + '.bin'), 'wb') as file:
                    file.write(weights[name])
            done = subprocess.run([sys.argv[1], 'hash', path], capture_output=True, text=True)
            expected = hashlib.sha256(data + b''.join(weights[name] for name in order)).hexdigest()
            if done.stdout.strip() != expected:
                wrong += 1
                print(f'{changed} changed: {done.stdout.strip()}{done.stderr.strip()}, '
                      f'expected {expected}')
    print(f'{len(order) + 2} sets of weights, {wrong} with another hash')
    return 1 if wrong else 0


if __name__ == '__main__':
    sys.exit(main())
