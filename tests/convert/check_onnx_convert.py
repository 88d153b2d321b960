# SPDX-License-Identifier: Apache-2.0
"""One network of each kind becomes a spiking network: its sites are those that its structure has,
and more timesteps bring its answers nearer to the source network's.

check_onnx_convert.py TRANSPIKE; needs numpy and TRANSPIKE_DATA, and onnx for one of the kinds."""
import collections
import json
import os
import subprocess
import sys
import tempfile

try:
    import numpy as np
except ImportError as missing:
    print('skipped:', missing)
    sys.exit(77)

SEED = 5
IMAGES, CALIBRATION, STEPS, LEVELS = 24, 12, 4, 16

# kind: case of onnx-vit, attentions, linear sites. A plain block has one attention and the linear
# sites qkv, proj, fc1, fc2; the head is one more.
KINDS = {
    'class token': ('hand-min__legacy__op17__b1', 2, 9),
    'average pooling': ('hand-minmean__legacy113__op9__b1', 2, 9),
    'class token and pooling': ('timm-avgcls__legacy__op17__dyn', 2, 9),
    'distillation token': ('timm-distil__legacy+extsub__op18__b1', 2, 10),
    'register tokens': ('hf-dinov3__dynamo__op23__b1', 2, 9),
    'LayerScale': ('timm-deit3__legacy__op14__dyn_initin', 2, 9),
    'qk-norm': ('timm-qknorm__legacy__op14__dyn', 2, 9),
    'no qkv bias': ('timm-noqkvb__legacy__op13__b1_eager', 2, 9),
    'separate q, k, v': ('hf-vit__legacy__op17__dyn', 2, 9),
    'RMSNorm': ('timm-rms__dynamo__op23__b1', 2, 9),
    'SwiGLU': ('timm-swiglu__legacy__op16__dyn', 2, 9),
    'gated MLP': ('timm-glu__legacy__op20__b1', 2, 9),
    'rotary embedding': ('timm-eva02__dynamo__op18__b1', 2, 9),
    'relative position bias': ('timm-beit__legacy__op16__dyn', 2, 9),
    'ReLU': ('hand-relu__legacy__op20__dyn', 2, 9),
    'SiLU': ('hand-silu__legacy__op14__dyn', 2, 9),
    'quick-GELU': ('hand-quick__legacy__op16__b1', 2, 9),
    'tanh-GELU': ('hand-tanhman__legacy__op17__dyn', 2, 9),
    'hard-swish': ('hand-relu__legacy__op20__dyn', 2, 9),
    'post-norm': ('hand-post__legacy__op11__dyn', 2, 9),
    'norm after the branch': ('timm-respost__legacy__op13__dyn_eager', 2, 9),
    'parallel branches': ('timm-partwo__legacy__op11__dyn_eager', 2, 9),
    'attention pooling': ('timm-map__legacy__op13__dyn_eager', 3, 13),
    'nn.MultiheadAttention': ('hand-mhamean__legacy__op17__dyn', 2, 9),
    'torchvision': ('tv-vit__legacy113__op16__dyn', 2, 9),
    'convolutional stem': ('hand-convstem__legacy__op17__b1', 2, 9),
    'onnxruntime optimised': ('hf-vit__legacy+orttrans__op11__b1_eager', 2, 9),
    'half precision': ('timm-cls__dynamo__op23__b1_half', 2, 9),
}


def run(words):
    return subprocess.run(words, capture_output=True, text=True, timeout=300)


def make_images(rng, shape):
    """Images that differ in contrast and brightness."""
    images = rng.standard_normal((IMAGES, *shape))
    images *= rng.uniform(0.3, 1.5, (IMAGES, 1, 1, 1))
    return (images + rng.normal(0, 0.7, (IMAGES, shape[0], 1, 1))).astype(np.float32)


def hard_swish(path, folder):
    """A copy with HardSwish in the place of every Relu; None without onnx."""
    try:
        import onnx
    except ImportError:
        return None
    model = onnx.load(path)
    for node in model.graph.node:
        if node.op_type == 'Relu':
            node.op_type = 'HardSwish'
    onnx.save(model, os.path.join(folder, 'hard_swish.onnx'))
    return os.path.join(folder, 'hard_swish.onnx')


def convert(tool, model, images, folder):
    """(sites of the .spike, sites of `inspect MODEL.onnx`, steps of `validate`), or a refusal."""
    data, spike = os.path.join(folder, 'd.npz'), os.path.join(folder, 'm.spike')
    np.savez(data, images=images, labels=np.zeros(len(images), np.int64))
    for words in (['convert', model, '--data', data, '--calib-images', str(CALIBRATION), '--steps',
                   str(STEPS), '--levels', str(LEVELS), '--threads', '1', '-o', spike],
                  ['inspect', spike, '--json', '-'], ['inspect', model, '--json', '-'],
                  ['validate', spike, '--onnx', model, '--data', data, '--skip', str(CALIBRATION),
                   '--threads', '1', '--json', '-']):
        done = run([tool] + words)
        if done.returncode:
            return done.stderr.strip()
        if words[0] == 'validate':
            return sites, planned, json.loads(done.stdout)['snn']['steps']
        if words[0] == 'inspect':
            found = json.loads(done.stdout)['sites']
            sites, planned = (found, None) if words[1] == spike else (sites, found)
    return 'unreachable'


def check(kind, tool, model, images, folder, attentions, linears):
    done = convert(tool, model, images, folder)
    if isinstance(done, str):
        print(f'{kind:26} {done}')
        return False
    sites, planned, steps = done
    count = collections.Counter(site['kind'] for site in sites)
    expected = dict.fromkeys(('query', 'key', 'value', 'numerator'), attentions)
    expected['linear'] = linears
    same = [s['name'] for s in sites] == [s['name'] for s in planned]
    kl = [step['kl'] for step in steps]
    right = dict(count) == expected and same and kl[-1] < 0.7 * kl[0] and kl[-1] < 0.05
    print(f'{kind:26} {count["query"]} attentions, {count["linear"]} linear sites; '
          f'KL {kl[0]:.1e} at T = 1, {kl[-1]:.1e} at T = {len(kl)}; agreement '
          f'{steps[-1]["agreement"]:.2f}{"" if same else "; inspect names other sites"}'
          f'{"" if right else "  WRONG"}')
    return right


def main():
    data = os.environ.get('TRANSPIKE_DATA')
    if not data or not os.path.isdir(os.path.join(data, 'onnx-vit')):
        print('skipped: TRANSPIKE_DATA is not set or holds no onnx-vit')
        return 77
    rng = np.random.default_rng(SEED)
    wrong = 0
    print('seed', SEED)
    with tempfile.TemporaryDirectory() as folder:
        for kind, (case, attentions, linears) in KINDS.items():
            place = os.path.join(data, 'onnx-vit', case)
            model = os.path.join(place, 'model.onnx')
            if kind == 'hard-swish' and not (model := hard_swish(model, folder)):
                continue
            images = make_images(rng, np.load(os.path.join(place, 'inputs.npy')).shape[1:])
            wrong += not check(kind, sys.argv[1], model, images, folder, attentions, linears)
    print(f'{len(KINDS)} kinds, {wrong} wrong')
    return 1 if wrong else 0


if __name__ == '__main__':
    sys.exit(main())
