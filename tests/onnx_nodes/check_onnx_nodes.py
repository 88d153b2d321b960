# SPDX-License-Identifier: Apache-2.0
"""The node tests of the ONNX standard (onnx.backend.test) on the importer and the float executor.

check_onnx_nodes.py ONNX_TOOL; needs numpy and onnx. Prints a line an operator: how many of its
tests stand in an opset that the registry claims, passed, failed, and were skipped with the reason.

A model of an opset above the newest that is read is tried as that one, where onnx.checker accepts
it so; of one below the oldest likewise. Shapes are static here: where the importer asks for a
constant (a shape, axes, pads), the inputs after the first become initializers; if that does not do,
all of them, and the node is folded."""
import collections
import os
import subprocess
import sys
import tempfile
import warnings

try:
    import numpy as np
    import onnx
    from onnx import TensorProto, numpy_helper
    from onnx.backend.test.case.node import collect_testcases
except ImportError as missing:
    print('skipped:', missing)
    sys.exit(77)

# Element types that the importer computes with; others (strings, float8, 4-bit …) it refuses.
TYPES = {TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16,
         TensorProto.INT8, TensorProto.INT16, TensorProto.INT32, TensorProto.INT64,
         TensorProto.UINT8, TensorProto.UINT16, TensorProto.UINT32, TensorProto.UINT64,
         TensorProto.BOOL}

# Refusals after which inputs are made constant: operands that shapes depend on, Conv weights, inputs
# without elements.
MADE_CONSTANT = ('[UNSUPPORTED]', 'a graph input without a value', 'has 0 elements')

# Forms of claimed operators that are refused by design: start of the test's name, reason.
REFUSED = {
    'test_dropout_random': 'training mode',
    'test_training_dropout': 'training mode',
    'test_batchnorm_epsilon_training_mode': 'training mode',
    'test_batchnorm_example_training_mode': 'training mode',
    'test_mod_float16_mixed_sign_fmod_0': 'floats with fmod 0 are not defined before opset 27',
    'test_mod_float32_mixed_sign_fmod_0': 'floats with fmod 0 are not defined before opset 27',
    'test_mod_float64_mixed_sign_fmod_0': 'floats with fmod 0 are not defined before opset 27',
    'test_mod_float_edge_cases_fmod_0': 'floats with fmod 0 are not defined before opset 27',
    'test_resize_tf_crop_and_resize': 'resizing a region is not supported',
}


def read_registry(tool):
    """(domain, operator) -> [(since, until)]"""
    rows = collections.defaultdict(list)
    lines = subprocess.run([tool, 'registry'], capture_output=True, check=True, text=True).stdout
    for line in lines.splitlines():
        domain, name, since, until = line.split('\t')[:4]
        rows[domain, name].append((int(since), int(until)))
    return rows


def opset_limits(tool):
    least, most = subprocess.run([tool, 'opsets'], capture_output=True, check=True,
                                 text=True).stdout.split()
    return int(least), int(most)


def all_nodes(graph):
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.HasField('g'):
                yield from all_nodes(attribute.g)


def element_types(model):
    for port in list(model.graph.input) + list(model.graph.output):
        yield port.type.tensor_type.elem_type if port.type.HasField('tensor_type') else -1
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.HasField('t'):
                yield attribute.t.data_type
            if attribute.name == 'to' or attribute.name == 'dtype':
                yield attribute.i


def within_opsets(model, least, most):
    """The model as one of an opset that is read; None when it cannot be."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for entry in copy.opset_import:
        if entry.domain in ('', 'ai.onnx') and not least <= entry.version <= most:
            entry.version = min(max(entry.version, least), most)
    if copy == model:
        return copy
    copy.ir_version = min(copy.ir_version, 10)
    try:
        onnx.checker.check_model(copy, full_check=True)
    except Exception:
        return None
    return copy


def why_skipped(model, registry, least, most):
    """The model to run, or None and the reason."""
    local = {(f.domain, f.name) for f in model.functions}
    for node in list(all_nodes(model.graph)) + [n for f in model.functions for n in f.node]:
        if (node.domain, node.op_type) not in registry and \
                (node.domain, node.op_type) not in local:
            return None, 'operator not claimed'
    if any(t not in TYPES for t in element_types(model)):
        return None, 'element type'
    copy = within_opsets(model, least, most)
    if copy is None:
        return None, f'needs an opset outside {least} to {most}'
    for node in copy.graph.node:
        version = next(e.version for e in copy.opset_import if e.domain == node.domain)
        if not any(s <= version <= u for s, u in registry[node.domain, node.op_type]):
            return None, 'opset not claimed'
    return copy, ''


def as_array(value):
    return value if isinstance(value, np.ndarray) else numpy_helper.to_array(value) \
        if isinstance(value, TensorProto) else np.asarray(value)


def widen(array):
    """The .npy type of the port: float32, int64 or bool."""
    if array.dtype == np.bool_:
        return array
    return array.astype(np.int64 if array.dtype.kind in 'iu' else np.float32)


class Tool:
    """One process of onnx_tool that runs model after model."""

    def __init__(self, path):
        self.path, self.process = path, None

    def run(self, model, prefix, inputs):
        if self.process is None:
            self.process = subprocess.Popen([self.path, 'serve'], stdin=subprocess.PIPE,
                                            stdout=subprocess.PIPE, text=True)
        self.process.stdin.write('\t'.join([model, prefix] + inputs) + '\n')
        self.process.stdin.flush()
        answer = self.process.stdout.readline().strip()
        if not answer:
            self.process = None
            return 'CRASH'
        return answer


def run_model(tool, folder, model, arrays, n_bound):
    """Runs with the inputs from the first but `n_bound` on as initializers; the answer."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    ports = list(copy.graph.input)
    kept = len(ports) - n_bound
    del copy.graph.input[kept:]
    for port, array in zip(ports[kept:], arrays[kept:]):
        tensor = numpy_helper.from_array(array, port.name) if array.dtype != object else None
        tensor.data_type = port.type.tensor_type.elem_type
        copy.graph.initializer.append(tensor)
    path = os.path.join(folder, 'm.onnx')
    onnx.save(copy, path)
    files = []
    for i, array in enumerate(arrays[:kept]):
        files.append(os.path.join(folder, f'i{i}.npy'))
        np.save(files[-1], widen(array))
    return tool.run(path, os.path.join(folder, 'o'), files)


def differs(case, folder, expected, types):
    for i, want in enumerate(expected):
        have = np.load(os.path.join(folder, f'o{i}.npy'))
        if have.shape != want.shape:
            return f'output {i} is {list(have.shape)}, expected {list(want.shape)}'
        want = widen(want)
        if types[i] in (TensorProto.FLOAT16, TensorProto.BFLOAT16):
            rtol, atol = max(case.rtol, 8e-3), max(case.atol, 1e-3)
        else:
            rtol, atol = max(case.rtol, 1e-5), max(case.atol, 1e-6)
        # numpy's own tolerance is relative to each element; sums here have another order.
        atol = max(atol, 1e-6 * float(np.abs(want[np.isfinite(want)]).max(initial=0)))
        if not np.allclose(have, want, rtol=rtol, atol=atol, equal_nan=True):
            at = np.unravel_index(np.argmax(~np.isclose(have, want, rtol=rtol, atol=atol,
                                                        equal_nan=True)), want.shape)
            return f'output {i} at {[int(a) for a in at]} is {have[at]}, expected {want[at]}'
    return None


def check_case(tool, folder, case, model):
    """'' when passed, else what is wrong."""
    bounds = [0, max(len(model.graph.input) - 1, 0), len(model.graph.input)]
    for inputs, outputs in case.data_sets:
        arrays = [as_array(x) for x in inputs]
        types = [p.type.tensor_type.elem_type for p in model.graph.output]
        for n_bound in bounds:
            answer = run_model(tool, folder, model, arrays, n_bound)
            if answer == 'OK' or not any(text in answer for text in MADE_CONSTANT):
                break
        if answer != 'OK':
            return answer
        wrong = differs(case, folder, [as_array(x) for x in outputs], types)
        if wrong:
            return wrong
    return ''


def main():
    tool = Tool(sys.argv[1])
    registry, (least, most) = read_registry(sys.argv[1]), opset_limits(sys.argv[1])
    table = collections.defaultdict(collections.Counter)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        cases = collect_testcases(None)
    with tempfile.TemporaryDirectory() as folder:
        for case in cases:
            ops = {n.op_type for n in case.model.graph.node}
            op = next(iter(ops)) if len(ops) == 1 else case.name[5:].split('_')[0]
            model, reason = why_skipped(case.model, registry, least, most)
            reason = next((why for start, why in REFUSED.items() if case.name.startswith(start)),
                          '') if model is not None else reason
            if reason:
                table[op][reason] += 1
                continue
            wrong = check_case(tool, folder, case, model)
            table[op]['failed' if wrong else 'passed'] += 1
            if wrong:
                print(f'FAILED {case.name}: {wrong}')
    return report(table, cases)


def report(table, cases):
    print(f'onnx {onnx.__version__}, {len(cases)} node tests')
    print(f'{"operator":30} claimed passed failed skipped')
    total = collections.Counter()
    unclaimed = 0
    for op, row in sorted(table.items()):
        if set(row) == {'operator not claimed'}:
            unclaimed += sum(row.values())
            continue
        reasons = {k: n for k, n in row.items() if k not in ('passed', 'failed')}
        total.update({'passed': row['passed'], 'failed': row['failed'],
                      'skipped': sum(reasons.values())})
        print(f'{op:30} {row["passed"] + row["failed"]:7} {row["passed"]:6} {row["failed"]:6} '
              f'{sum(reasons.values()):7}  {", ".join(f"{n} {k}" for k, n in reasons.items())}')
    print(f'claimed {total["passed"] + total["failed"]}, passed {total["passed"]}, '
          f'failed {total["failed"]}, skipped {total["skipped"]}; '
          f'{unclaimed} of operators that are not claimed')
    return 1 if total['failed'] or not total['passed'] else 0


if __name__ == '__main__':
    sys.exit(main())
