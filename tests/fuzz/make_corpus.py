# SPDX-License-Identifier: Apache-2.0
"""make_corpus.py [FOLDER]: writes the seeds of every target as FOLDER/TARGET/FILE (FOLDER: corpus
beside this script) and onnx.dict beside FOLDER: valid tiny files, and copies that are cut short.
Needs the standard library only; the same zlib gives the same bytes. Files whose names begin with
found- were found by fuzzing and are left alone."""
import gzip
import hashlib
import io
import os
import struct
import sys
import tarfile
import zipfile
import zlib


# --- protobuf ---

def varint(n):
    n &= (1 << 64) - 1
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    out.append(n)
    return bytes(out)


def field(number, value):
    """An int as a varint, a float as a fixed32, bytes and text with their length; lists repeat."""
    if isinstance(value, list):
        return b''.join(field(number, item) for item in value)
    if isinstance(value, float):
        return varint(number << 3 | 5) + struct.pack('<f', value)
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value


def message(*fields):
    return b''.join(field(number, value) for number, value in fields if value is not None)


def floats(*values):
    return struct.pack(f'<{len(values)}f', *values)


def integers(*values):
    return struct.pack(f'<{len(values)}q', *values)


# --- ONNX ---

def tensor(name, dims, data, dtype=1):
    return message((1, list(dims)), (2, dtype), (8, name), (9, data))


def external(name, dims, location, offset, length):
    entries = [message((1, k), (2, v)) for k, v in
               (('location', location), ('offset', str(offset)), ('length', str(length)))]
    return message((1, list(dims)), (2, 1), (8, name), (13, entries), (14, 1))


def attribute(name, value):
    if isinstance(value, bytes) and value[:1] == b'\x08':
        return message((1, name), (5, value), (20, 4))
    if isinstance(value, (bytes, str)):
        return message((1, name), (4, value), (20, 3))
    if isinstance(value, float):
        return message((1, name), (2, value), (20, 1))
    if isinstance(value, int):
        return message((1, name), (3, value), (20, 2))
    return message((1, name), (8, list(value)), (20, 7))


def node(op, inputs, outputs, domain=None, **attributes):
    return message((1, inputs.split()), (2, outputs.split()), (3, '/' + outputs.split()[0]),
                   (4, op), (5, [attribute(k, v) for k, v in attributes.items()]),
                   (7, domain))


def port(name, dims, dtype=1):
    shape = message((1, [message((2 if isinstance(d, str) else 1, d)) for d in dims]))
    return message((1, name), (2, message((1, message((1, dtype), (2, shape))))))


def graph(nodes, constants, inputs, outputs):
    return message((1, nodes), (2, 'g'), (5, constants), (11, inputs), (12, outputs))


def model(nodes, constants, inputs, outputs, opset=17, functions=None):
    return message((1, 8), (2, 'p'), (7, graph(nodes, constants, inputs, outputs)),
                   (8, [message((1, ''), (2, opset)), message((1, 'f'), (2, 1))]), (25, functions))


def vector(name, *values):
    return tensor(name, [len(values)], integers(*values), 7)


def weight(name, *dims):
    n = 1
    for d in dims:
        n *= d
    return tensor(name, dims, floats(*((i * 7 % 11 - 5) / 8 for i in range(n))))


def attention_model():
    nodes = [
        node('Conv', 'x cw cb', 'c', strides=[2, 2], kernel_shape=[2, 2]),
        node('Reshape', 'c flat', 'r'),
        node('Transpose', 'r', 't', perm=[0, 2, 1]),
        node('LayerNormalization', 't g b', 'n', axis=-1, epsilon=1e-5),
        node('MatMul', 'n wq', 'q0'), node('MatMul', 'n wk', 'k0'), node('MatMul', 'n wv', 'v0'),
        node('Reshape', 'q0 heads', 'q1'), node('Transpose', 'q1', 'q', perm=[0, 2, 1, 3]),
        node('Reshape', 'k0 heads', 'k1'), node('Transpose', 'k1', 'k', perm=[0, 2, 3, 1]),
        node('Reshape', 'v0 heads', 'v1'), node('Transpose', 'v1', 'v', perm=[0, 2, 1, 3]),
        node('MatMul', 'q k', 'l0'), node('Mul', 'l0 s', 'l'), node('Softmax', 'l', 'p', axis=-1),
        node('MatMul', 'p v', 'o0'), node('Transpose', 'o0', 'o1', perm=[0, 2, 1, 3]),
        node('Reshape', 'o1 tokens', 'o2'), node('Add', 'o2 t', 'o'),
        node('MatMul', 'o w1', 'h0'), node('Add', 'h0 b1', 'h'),
        node('Div', 'h root', 'e0'), node('Erf', 'e0', 'e1'), node('Add', 'e1 one', 'e2'),
        node('Mul', 'h e2', 'e3'), node('Mul', 'e3 half', 'e'),
        node('ReduceMean', 'e', 'm', axes=[1], keepdims=0),
        node('Gemm', 'm hw hb', 'y', transB=1)]
    constants = [
        weight('cw', 4, 1, 2, 2), weight('cb', 4), vector('flat', 0, 4, -1), weight('g', 4),
        weight('b', 4), weight('wq', 4, 4), weight('wk', 4, 4), weight('wv', 4, 4),
        vector('heads', 1, 4, 2, 2), tensor('s', [], floats(0.7)), vector('tokens', 1, 4, 4),
        weight('w1', 4, 6), weight('b1', 6), tensor('root', [], floats(2 ** 0.5)),
        tensor('one', [], floats(1.0)), tensor('half', [], floats(0.5)), weight('hw', 3, 6),
        weight('hb', 3)]
    return model(nodes, constants, [port('x', ['N', 1, 4, 4])], [port('y', ['N', 3])])


def onnx_files():
    image, logits = [port('x', [1, 2, 3, 4])], [port('y', [])]

    def small(*nodes, constants=(), opset=17, inputs=image, **kinds):
        return model(list(nodes), list(constants), inputs, logits, opset, **kinds)

    yield 'relu', small(node('Relu', 'x', 'y'))
    yield 'attention', attention_model()
    yield 'shapes', small(
        node('Shape', 'x', 's'), node('Gather', 's i', 'd', axis=0),
        node('Concat', 'd m', 'c', axis=0),
        node('Reshape', 'x c', 'r'), node('Slice', 'r st en ax', 'l'),
        node('Unsqueeze', 'l ax', 'u'),
        node('Squeeze', 'u ax', 'q'), node('Flatten', 'q', 'y', axis=1),
        constants=[vector('i', 0), vector('m', -1, 4), vector('st', 1), vector('en', 9),
                   vector('ax', 1)])
    yield 'constants', small(
        node('ConstantOfShape', 'd', 'c', value=tensor('', [1], floats(2.0))),
        node('Range', 'a b st', 'r'), node('Cast', 'r', 'f', to=1), node('Mul', 'c f', 'm'),
        node('Add', 'x m', 'y'),
        constants=[vector('d', 3, 4), tensor('a', [], integers(0), 7),
                   tensor('b', [], integers(4), 7), tensor('st', [], integers(1), 7)])
    yield 'where', small(
        node('Greater', 'x z', 'g'), node('Where', 'g x z', 'w'), node('Clip', 'w z o', 'c'),
        node('Expand', 'c e', 'p'), node('Tile', 'p t', 'y'),
        constants=[tensor('z', [], floats(0.0)), tensor('o', [], floats(1.0)),
                   vector('e', 1, 2, 3, 4), vector('t', 1, 1, 2, 1)])
    yield 'split', small(
        node('Split', 'x n', 'a b', axis=3), node('Pad', 'a p', 'c', mode='constant'),
        node('Concat', 'c b', 'y', axis=3),
        constants=[vector('n', 1, 3), vector('p', 0, 0, 0, 1, 0, 0, 0, 0)])
    yield 'resize', small(
        node('Resize', 'x r s', 'y', mode='cubic', coordinate_transformation_mode='half_pixel'),
        constants=[tensor('r', [0], b''), tensor('s', [4], floats(1, 1, 2, 1.5))])
    yield 'einsum', small(node('Einsum', 'x w', 'y', equation='bchw,wk->bkch'),
                          constants=[weight('w', 4, 5)])
    yield 'reduce', small(node('ReduceSum', 'x a', 's', keepdims=1), node('ReduceMax', 'x', 'm'),
                          node('Sub', 's m', 'd'), node('Pow', 'd two', 'y'),
                          constants=[vector('a', -1), tensor('two', [], floats(2.0))])
    yield 'external', small(node('Add', 'x w', 'y'),
                            constants=[external('w', [4], 'model.onnx', 8, 16)])
    yield 'functions', small(
        node('Twice', 'x', 'y', domain='f'),
        functions=[message((1, 'Twice'), (4, ['a']), (5, ['b']), (7, [node('Add', 'a a', 'b')]),
                           (9, [message((1, ''), (2, 17))]), (10, 'f'))])
    then = graph([node('Relu', 'x', 't')], [], [], [port('t', [1, 2, 3, 4])])
    other = graph([node('Neg', 'x', 'e')], [], [], [port('e', [1, 2, 3, 4])])
    branches = [message((1, name), (6, body), (20, 5))
                for name, body in (('then_branch', then), ('else_branch', other))]
    yield 'branches', small(message((1, ['c']), (2, ['y']), (3, 'if'), (4, 'If'), (5, branches)),
                            constants=[tensor('c', [], b'\1', 9)])
    yield 'halves', small(node('Mul', 'x w', 'y'),
                          constants=[tensor('w', [4], b'\0\x3c\0\x40\0\x42\0\x44', 10)])


def dictionary(folder):
    """The names of operators that the importer knows, as the engine reads them."""
    source = os.path.join(folder, '..', '..', 'convert', 'onnx_registry.c')
    with open(source, encoding='utf-8') as file:
        names = {part.split('"')[3] for part in file if part.strip().startswith('{"')}
    return ''.join(f'"{name}"\n' for name in sorted(names))


# --- .npy and archives ---

def npy(dtype, shape, data, version=1, order='False'):
    text = f"{{'descr': '{dtype}', 'fortran_order': {order}, 'shape': {shape}, }}"
    head = 10 if version == 1 else 12
    text += ' ' * (-(head + len(text) + 1) % 64) + '\n'
    length = struct.pack('<H' if version == 1 else '<I', len(text))
    return b'\x93NUMPY' + bytes((version, 0)) + length + text.encode() + data


def npy_files():
    yield 'f4', npy('<f4', '(2, 3)', floats(*range(6)))
    yield 'f8', npy('<f8', '(2,)', struct.pack('<2d', 1e300, float('nan')))
    yield 'f2', npy('<f2', '(2,)', b'\0\x3c\x01\0', 2)
    yield 'i8', npy('<i8', '()', integers(-1), 3)
    yield 'u1', npy('|u1', '(1, 2, 2, 3)', bytes(range(12)))
    yield 'b1', npy('|b1', '(0, 4)', b'')
    yield 'u8', npy('<u8', '(1,)', b'\xff' * 8)
    yield 'fortran', npy('<i4', '(2, 2)', bytes(16), order='True')
    yield 'big-endian', npy('>f4', '(1,)', bytes(4))
    yield 'large', npy('<f4', '(9223372036854775807, 4)', b'')


def zipped(members, how=zipfile.ZIP_STORED):
    out = io.BytesIO()
    with zipfile.ZipFile(out, 'w', how) as archive:
        for name, data in members:
            archive.writestr(zipfile.ZipInfo(name), data, compress_type=how)
    return out.getvalue()


def tarred(members, kind=tarfile.USTAR_FORMAT):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode='w', format=kind) as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def idx(dims, data):
    return bytes((0, 0, 8, len(dims))) + struct.pack(f'>{len(dims)}I', *dims) + data


def sample_files():
    images = npy('|u1', '(2, 3, 3)', bytes(range(18)))
    values = npy('<f4', '(2, 1, 2, 2)', floats(*range(8)))
    labels = npy('<i8', '(2,)', integers(1, 0))
    small, colour, photo = png(2, 2, 0), png(3, 2, 2), jpeg(1)
    folders = [('cat/a.png', small), ('dog/b.png', colour), ('dog/c.jpg', photo)]
    listed = [('labels.csv', b'file,label\na.png,3\nb.jpg,1\n'), ('a.png', small), ('b.jpg', photo)]
    keyed = [('0.png', colour), ('0.cls', b'4'), ('1.png', small), ('1.cls', b'2\n')]
    cifar = [('cifar-10/data_batch_1.bin', b'\1' + bytes(3072)),
             ('cifar-10/batches.meta.txt', b'a\n')]
    deflated = zipfile.ZIP_DEFLATED
    yield 'npz-pixels', b'\0' + zipped([('images.npy', images), ('labels.npy', labels)])
    yield 'npz-values', b'\0' + zipped([('images.npy', values)], deflated)
    yield 'npz-labels-short', b'\0' + zipped([('images.npy', images), ('labels.npy', labels[:-8])])
    yield 'tar-folders', b'\1' + tarred(folders)
    yield 'tar-listed', b'\1' + tarred(listed, tarfile.GNU_FORMAT)
    yield 'tar-keyed', b'\1' + tarred(keyed, tarfile.PAX_FORMAT)
    yield 'tar-packed', b'\1' + gzip.compress(tarred(keyed), mtime=0)
    yield 'tar-cifar', b'\1' + gzip.compress(tarred(cifar), mtime=0)
    yield 'idx', b'\2' + idx((2, 3, 3), bytes(range(18)))
    yield 'idx-colour', b'\2' + idx((1, 2, 2, 3), bytes(range(12)))
    yield 'idx-packed', b'\2' + gzip.compress(idx((1, 2, 2), bytes(4)), mtime=0)
    yield 'idx-large', b'\2' + idx((1 << 30, 1 << 30, 2), b'')
    yield 'zip-folders', b'\3' + zipped(folders)
    yield 'zip-listed', b'\3' + zipped(listed, deflated)


# --- images ---

def chunk(name, data):
    return struct.pack('>I', len(data)) + name + data + struct.pack('>I', zlib.crc32(name + data))


def png(width, height, colour, depth=8, extra=b'', interlaced=0):
    samples = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    row = (width * samples * depth + 7) // 8
    pixels = b''.join(bytes([y % 5]) + bytes((x * 37 + y * 11) % (4 if colour == 3 else 256)
                                             for x in range(row)) for y in range(height))
    header = struct.pack('>IIBBBBB', width, height, depth, colour, 0, 0, interlaced)
    return (b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', header) + extra +
            chunk(b'IDAT', zlib.compress(pixels)) + chunk(b'IEND', b''))


def segment(marker, data):
    return b'\xff' + bytes([marker]) + struct.pack('>H', len(data) + 2) + data


def jpeg(components, progressive=False, size=16, adobe=False, restart=0):
    """Blocks with a DC value each: categories 0 to 3 have the codes 00, 01, 10, 110; the only AC
    code, 0, ends a block."""
    n_blocks = (size // 8) ** 2
    bits = ''
    for block in range(n_blocks):
        for _ in range(components):
            bits += ('1010' if block % 2 else '1001') + ('' if progressive else '0')
        if restart and block + 1 < n_blocks:
            break
    bits += '1' * (-len(bits) % 8)
    data = bytes(int(bits[i:i + 8], 2) for i in range(0, len(bits), 8)).replace(b'\xff', b'\xff\0')
    ids = bytes(range(1, components + 1))
    out = b'\xff\xd8'
    if adobe:
        out += segment(0xee, b'Adobe\0\x64\0\0\0\0\2')
    out += segment(0xdb, b'\0' + b'\x10' * 64)
    out += segment(0xc2 if progressive else 0xc0, struct.pack('>BHHB', 8, size, size, components) +
                   b''.join(bytes([i, 0x11, 0]) for i in ids))
    out += segment(0xc4, b'\0' + bytes([0, 3, 1] + [0] * 13) + bytes([0, 1, 2, 3]))
    out += segment(0xc4, b'\x10' + bytes([1] + [0] * 15) + b'\0')
    if restart:
        out += segment(0xdd, struct.pack('>H', restart))
    scan = bytes([components]) + b''.join(bytes([i, 0]) for i in ids)
    out += segment(0xda, scan + (b'\0\0\0' if progressive else b'\0\x3f\0')) + data
    return out + b'\xff\xd9'


def image_files():
    palette = chunk(b'PLTE', bytes(range(12)))
    yield 'grey.png', png(5, 4, 0)
    yield 'grey-1.png', png(9, 3, 0, 1)
    yield 'grey-16.png', png(3, 3, 0, 16)
    yield 'rgb.png', png(4, 7, 2)
    yield 'palette.png', png(4, 4, 3, 8, palette)
    yield 'palette-2.png', png(5, 4, 3, 2, palette + chunk(b'tRNS', b'\0\x80'))
    yield 'grey-alpha.png', png(3, 4, 4)
    yield 'rgba.png', png(3, 4, 6, 16, chunk(b'gAMA', struct.pack('>I', 45455)))
    yield 'texts.png', png(2, 2, 0, 8, chunk(b'tEXt', b'k\0v') +
                           chunk(b'zTXt', b'k\0\0' + zlib.compress(b'v' * 99)) +
                           chunk(b'iCCP', b'p\0\0' + zlib.compress(bytes(200))))
    yield 'interlaced.png', png(1, 1, 0, 8, b'', 1)
    yield 'grey.jpg', jpeg(1)
    yield 'colour.jpg', jpeg(3)
    yield 'cmyk.jpg', jpeg(4, adobe=True)
    yield 'progressive.jpg', jpeg(3, progressive=True)
    yield 'restarts.jpg', jpeg(1, restart=1)
    yield 'gif', b'GIF89a\1\0\1\0\0\0\0;'


# --- .spike: docs/spikefile.md, spikefile/spike.proto ---

NONE = 0xFFFFFFFF


class Members:
    """The tensors of a file, in the order in which they are described."""

    def __init__(self):
        self.files = []

    def add(self, name, dtype, shape, data):
        whole = npy(dtype, str(tuple(shape)), data)
        self.files.append((name + '.npy', whole))
        return message((1, name + '.npy'), (2, dtype), (3, list(shape)),
                       (4, hashlib.sha256(whole).digest()))


def packed(*numbers):
    return b''.join(varint(n) for n in numbers)


def site(members, i, name, kind, rows, channels, value, node_id=NONE, keys=None, is_linear=False):
    return message(
        (1, name), (2, kind), (3, value), (4, node_id), (5, rows), (6, channels), (7, keys),
        (9, 1 if is_linear else None), (10, channels if is_linear else None),
        (11, members.add(f'site/{i}/row_class', '|u1', [rows], bytes(rows))),
        (12, members.add(f'site/{i}/unit', '<f4', [channels], floats(*[0.5] * channels))),
        (13, members.add(f'site/{i}/order', '<u4', [1, channels],
                         struct.pack(f'<{channels}I', *range(channels))) if is_linear else None))


def site_params(members, i, channels):
    step = message((1, floats(1.0)), (3, packed(0)), (4, packed(4)))
    where = f'point/0/site/{i}/'
    return message((3, [step]), (4, members.add(where + 'ladder', '<f4', [1, 1, 4],
                                                floats(-2, -1, 1, 2))),
                   (5, members.add(where + 'gain', '<f4', [1, 1, channels],
                                   floats(*[1] * channels))))


def spike(values, nodes, sites, with_linear, with_attention, major=1):
    """sites: the last arguments of site(), in order."""
    members = Members()
    described = [site(members, i, *arguments) for i, arguments in enumerate(sites)]
    linears, attentions = [], []
    if with_linear:
        linears = [message((1, 1), (3, 2), (4, 8),
                           (5, members.add('linear/0/weight', '|i1', [2, 4], bytes(range(8)))),
                           (6, members.add('linear/0/scale', '<f4', [1, 2], floats(0.5, 0.25))))]
    if with_attention:
        attentions = [message((1, 1), (2, 0), (3, 1), (4, 2), (5, 3))]
    params = [site_params(members, i, s[3]) for i, s in enumerate(sites)]
    biases = []
    if with_linear:
        biases = [members.add('point/0/linear/0/bias', '<f4', [1, 1, 2], floats(0, 1))]
    provenance = message((1, 'seed'), (2, '{}'), (4, members.add('provenance/calibration', '|u1',
                                                                 [1, 32], bytes(32))))
    net = message((1, values), (2, nodes), (3, packed(0)), (4, packed(len(values) - 1)), (5, 1),
                  (7, 17), (8, '0' * 64), (9, 'p'))
    point = message((1, 'exact'), (3, 1), (4, 4), (5, params), (6, biases))
    preprocess = message((2, 2), (3, 2), (4, 1), (5, 1), (6, floats(0, 0, 0, 0)),
                         (7, floats(1, 1, 1, 1)))
    description = message(
        (1, major), (3, net), (4, 1), (5, described), (6, linears), (7, attentions), (8, [point]),
        (9, message((1, 8))), (10, preprocess), (11, ['cat', 'dog']), (12, provenance))
    text = f'{hashlib.sha256(description).hexdigest()}  transpike.pb\n'.encode()
    return zipped([('transpike.pb', description), ('transpike.pb.sha256', text)] + members.files)


def value(name, *shape):
    return message((1, name), (2, 1), (3, packed(*shape)))


def spike_node(op, inputs, output, *attributes):
    return message((1, op), (2, '/' + op), (3, op), (4, packed(*inputs)), (5, packed(output)),
                   (6, message(*attributes)))


def spike_files():
    linear = ([value('x', 1, 1, 2, 2), value('f', 1, 4), value('y', 1, 2)],
              [spike_node('Reshape', [0], 1), spike_node('Linear', [1], 2)],
              [('head', 0, 1, 4, 1, NONE, None, True)], True, False)
    attention = ([value('x', 1, 1, 2, 2), value('t', 1, 2, 2), value('a', 1, 2, 2),
                  value('y', 1, 2)],
                 [spike_node('Reshape', [0], 1),
                  spike_node('Attention', [1, 1, 1], 2, (13, 0.5), (14, 1)),
                  spike_node('ReduceMean', [2], 3, (2, packed(1)))],
                 [('query', 1, 2, 2, 1, 1), ('key', 2, 2, 2, 1, 1), ('value', 3, 2, 2, 1, 1),
                  ('numerator', 4, 2, 1, NONE, 1, 2)], False, True)
    yield 'linear', spike(*linear)
    yield 'attention', spike(*attention)
    yield 'version-2', spike(*linear, major=2)
    yield 'no-members', zipped([])


def store(folder, files):
    os.makedirs(folder, exist_ok=True)
    for name in os.listdir(folder):
        if not name.startswith('found-'):
            os.remove(os.path.join(folder, name))
    for name, data in files:
        cuts = {'': len(data)}
        if not name.endswith(('large', 'gif', 'members')):
            cuts = {'': len(data), '.half': len(data) // 2, '.less': len(data) - 3}
        for end, n in cuts.items():
            with open(os.path.join(folder, name + end), 'wb') as file:
                file.write(data[:n])


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    folder = sys.argv[1] if len(sys.argv) > 1 else os.path.join(here, 'corpus')
    for target, files in (('onnx', onnx_files()), ('spike', spike_files()), ('npy', npy_files()),
                          ('image', image_files()), ('samples', sample_files())):
        store(os.path.join(folder, target), files)
    with open(os.path.join(folder, '..', 'onnx.dict'), 'w', encoding='utf-8') as file:
        file.write(dictionary(here))


main()
