# SPDX-License-Identifier: Apache-2.0
"""ViT-Tiny from both PyTorch exporters: logits within 1e-4 of the largest of onnxruntime's.

check_onnx_models.py ONNX_TOOL; needs numpy, onnxruntime, TRANSPIKE_DATA."""
import os
import subprocess
import sys
import tempfile

try:
    import numpy as np
    import onnxruntime
except ImportError as missing:
    print('skipped:', missing)
    sys.exit(77)

SEED = 3
MODELS = ('torchscript_op17.onnx', 'dynamo_op20.onnx')


def main():
    data = os.environ.get('TRANSPIKE_DATA')
    if not data:
        print('skipped: TRANSPIKE_DATA is not set')
        return 77
    image = np.random.default_rng(SEED).standard_normal((1, 3, 224, 224)).astype(np.float32)
    wrong = 0
    print('seed', SEED)
    with tempfile.TemporaryDirectory() as folder:
        np.save(os.path.join(folder, 'in.npy'), image)
        for name in MODELS:
            path = os.path.join(data, 'models', 'vit_tiny_imagenet', name)
            if not os.path.exists(path):
                print('skipped: no', path)
                return 77
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = 1
            session = onnxruntime.InferenceSession(path, options,
                                                   providers=['CPUExecutionProvider'])
            want = session.run(None, {session.get_inputs()[0].name: image})[0]
            subprocess.run([sys.argv[1], 'run', path, os.path.join(folder, 'o'),
                            os.path.join(folder, 'in.npy')], check=True)
            have = np.load(os.path.join(folder, 'o0.npy'))
            difference = float(np.abs(have - want).max() / np.abs(want).max())
            print(f'{name}: largest difference / largest logit {difference:.2e}')
            wrong += not difference <= 1e-4
    return 1 if wrong else 0


if __name__ == '__main__':
    sys.exit(main())
