# SPDX-License-Identifier: Apache-2.0
"""Every kind of DATA gives the same samples, labels and order; broken ones give one named line.

usage: check_dataset.py DATA_TOOL
"""
import gzip
import io
import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile

try:
    import numpy as np
    from PIL import Image
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)

TOOL = sys.argv[1]
N, SIDE = 12, 9


def run(*arguments):
    return subprocess.run([TOOL, *map(str, arguments)], capture_output=True, text=True)


def listed(path, *seed):
    done = run("list", path, *seed)
    assert done.returncode == 0, done.stderr
    return [line.split("\t") for line in done.stdout.splitlines()]


def read(path, out, dim=(3, SIDE, SIDE)):
    done = run("read", path, out, *dim, 0, 0, 1, 0.5, 0.25)
    assert done.returncode == 0, done.stderr
    with np.load(out) as arrays:
        return arrays["x"], arrays["labels"], arrays["hashes"]


def refused(path, status, code, *words):
    """One line on standard error that names the thing and ends with the status."""
    done = run("read", path, os.path.join(os.path.dirname(path), "never.npz"), 3, SIDE, SIDE,
               0, 0, 1, 0, 1)
    assert done.returncode == code, (path, done)
    assert done.stderr.count("\n") == 1 and done.stderr.endswith(f"[{status}]\n"), done.stderr
    for word in (os.path.basename(path), *words):
        assert word in done.stderr, (word, done.stderr)


def write(path, content):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(content)
    return path


def png(array):
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "PNG")
    return buffer.getvalue()


def shuffled(seed, items):
    """The contract's shuffle."""
    state, items, mask = seed, list(items), (1 << 64) - 1
    for i in range(len(items) - 1, 0, -1):
        state = (state + 0x9e3779b97f4a7c15) & mask
        z = state
        z = ((z ^ (z >> 30)) * 0xbf58476d1ce4e5b9) & mask
        z = ((z ^ (z >> 27)) * 0x94d049bb133111eb) & mask
        z ^= z >> 31
        j = (z * (i + 1)) >> 64
        items[i], items[j] = items[j], items[i]
    return items


def tar(path, members, mode="w"):
    with tarfile.open(path, mode) as archive:
        for name, content in members:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return path


def check_images(folder, out, images, labels, x, hashes):
    """Folders and archives of images."""
    files = [(f"i{k:02d}.png", png(images[k])) for k in range(N)]
    csv = "file,label\n" + "".join(f"{files[k][0]},{labels[k]}\n" for k in reversed(range(N)))
    names = "\n".join(f"class {c}" for c in range(5)).encode()

    root = os.path.join(folder, "csv")
    for name, content in files:
        write(os.path.join(root, name), content)
    write(os.path.join(root, "notes.txt"), b"ignored")
    write(os.path.join(root, ".hidden.png"), b"ignored")

    def same(path, expected_labels=labels, order=range(N)):
        got = read(path, out)
        order = list(order)
        assert np.array_equal(got[0], x[order]), path
        assert np.array_equal(got[2], hashes[order]), path
        assert got[1].tolist() == [expected_labels[k] for k in order], path

    same(root, [-1] * N)
    same(root + "/", [-1] * N)
    write(os.path.join(root, "labels.csv"), csv.encode())
    same(root)
    write(os.path.join(root, "labels.csv"),
          b"\xef\xbb\xbf" + csv.replace("i03.png", '"i03.png"').replace("\n", "\r\n").encode())
    write(os.path.join(root, "classes.txt"), names)
    same(root)
    rows = listed(root, 0)
    assert [r[1] for r in rows] == shuffled(0, [f[0] for f in files])
    assert all(r[2] == f"class {r[0]}" for r in rows)
    assert [r[1] for r in listed(root, 77)] == shuffled(77, [f[0] for f in files])

    classes = os.path.join(folder, "classes")
    inside = sorted(((f"c{labels[k]}{'-b' * (labels[k] == 2)}/{name}", content, k)
                     for k, (name, content) in enumerate(files)), key=lambda m: m[0].encode())
    order = [k for _, _, k in inside]
    present = sorted({name.split("/")[0] for name, _, _ in inside})
    class_labels = {k: present.index(name.split("/")[0]) for name, _, k in inside}
    for name, content, _ in inside:
        write(os.path.join(classes, name), content)
    same(classes, class_labels, order)
    assert [r[1] for r in listed(classes)] == [name for name, _, _ in inside]
    assert all(present[int(r[0])] == r[2] for r in listed(classes))

    one = read(os.path.join(root, "i05.png"), out)
    assert np.array_equal(one[0], x[5:6]) and one[1].tolist() == [-1]

    for end in (".tar", ".tar.gz", ".tar.xz", ".tar.bz2"):
        mode = "w" + end[4:].replace(".", ":")
        base = os.path.join(folder, "images")
        same(tar(base + end, reversed(files), mode), [-1] * N)
        same(tar(base + "_csv" + end, [("./" + n, c) for n, c in files]
                 + [("./labels.csv", csv.encode())], mode))
        same(tar(base + "_deep" + end, [("top/sub/" + n, c) for n, c in files]
                 + [("top/sub/labels.csv", csv.replace("i02", "./i02").encode())], mode))
        same(tar(base + "_top" + end, [("top/" + n, c) for n, c in files], mode), [-1] * N)
        keyed = [(f"deep/{'long' * 40}/{n}", c) for n, c in files] + [
            (f"deep/{'long' * 40}/i{k:02d}.cls", f"{labels[k]}\n".encode()) for k in range(N)]
        same(tar(base + "_cls" + end, keyed, mode))
        same(tar(base + "_class" + end, [("top/" + n, c) for n, c, _ in inside], mode),
             class_labels, order)
    packed = os.path.join(folder, "images.zip")
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content, _ in inside:
            archive.writestr(name, content)
    same(packed, class_labels, order)

    def csv_is_refused(text, status, code, *words):
        write(os.path.join(root, "labels.csv"), text.encode())
        refused(root, status, code, "labels.csv", *words)

    csv_is_refused(csv + "gone.png,1\n", "FORMAT", 20, "row 14", "gone.png")
    csv_is_refused(csv.replace("i07.png", "../csv/i07.png"), "FORMAT", 20, "../csv/i07.png")
    csv_is_refused("\n".join(csv.splitlines()[:-1]), "FORMAT", 20, "i00.png")
    csv_is_refused(csv + "i00.png,1\n", "FORMAT", 20, "i00.png", "already")
    csv_is_refused(csv.replace("i04.png,", "i04.png,-"), "RANGE", 50, "label -")
    csv_is_refused(csv.replace("i04.png,", "i04.png,x"), "FORMAT", 20, "whole number")
    csv_is_refused(csv.replace("i04.png,", "i04.png,9999999999"), "RANGE", 50)
    csv_is_refused(csv.replace("i04.png,", "i04.png,1,"), "FORMAT", 20, "3 fields")
    csv_is_refused(csv.replace("i04.png,", "i04.png,,"), "FORMAT", 20, "3 fields")
    csv_is_refused("", "FORMAT", 20, "i00.png")

    empty = os.path.join(folder, "empty")
    os.makedirs(empty)
    refused(empty, "FORMAT", 20, "no images")
    write(os.path.join(classes, "stray.png"), files[0][1])
    refused(classes, "FORMAT", 20, "stray.png")
    refused(os.path.join(folder, "absent"), "IO", 10)
    refused(write(os.path.join(folder, "what.dat"), b"something"), "FORMAT", 20)
    refused(write(os.path.join(folder, "no.tar"), b"something" * 100), "FORMAT", 20)
    whole = open(os.path.join(folder, "images_cls.tar.gz"), "rb").read()
    refused(write(os.path.join(folder, "cut.tar.gz"), whole[:len(whole) // 2]), "FORMAT", 20)
    whole = open(os.path.join(folder, "images.tar"), "rb").read()
    refused(write(os.path.join(folder, "cut.tar"), whole[:700]), "FORMAT", 20)
    refused(tar(os.path.join(folder, "some.tar"), keyed[:-1]), "FORMAT", 20, "no .cls")
    refused(tar(os.path.join(folder, "more.tar"), keyed + [("z.cls", b"1")]), "FORMAT", 20, "z.cls")
    refused(tar(os.path.join(folder, "bad.tar"), keyed[:-1] + [(keyed[-1][0], b"cat")]),
            "FORMAT", 20, "cat")
    refused(tar(os.path.join(folder, "twice.tar"), files + files[:1]), "FORMAT", 20, "i00.png")
    refused(tar(os.path.join(folder, "two.tar"), files + [("labels.csv", csv.encode()),
                                                          ("b/labels.csv", b"")]),
            "FORMAT", 20, "b/labels.csv")
    refused(tar(os.path.join(folder, "none.tar"), [("a.txt", b"1")]), "FORMAT", 20, "no images")
    broken = files[:3] + [("i03.png", files[3][1][:60])]
    refused(tar(os.path.join(folder, "broken.tar"), broken), "FORMAT", 20, "i03.png")


def idx(array):
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.tobytes()


def check_arrays(folder, out, images, labels, x, hashes):
    """.npz, .npy, IDX, CIFAR."""
    def path(*names):
        target = os.path.join(folder, *names)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        return target

    def same(name, expected_labels=labels, expected=x, dim=(3, SIDE, SIDE), hashed=True):
        got = read(name, out, dim)
        assert np.array_equal(got[0], expected), name
        assert got[1].tolist() == list(expected_labels), name
        assert not hashed or np.array_equal(got[2], hashes), name
        return got

    none = [-1] * N
    for kind, save in (("stored", np.savez), ("packed", np.savez_compressed)):
        save(path(kind + ".npz"), images=images, labels=np.array(labels))
        same(path(kind + ".npz"))
        save(path(kind + "_only.npz"), images=images)
        same(path(kind + "_only.npz"), none)
        save(path(kind + "_floats.npz"), images=x, labels=np.array(labels, np.uint8)[:, None])
        same(path(kind + "_floats.npz"), hashed=False)
    assert [r[1] for r in listed(path("stored.npz"), 5)] == shuffled(5, map(str, range(N)))
    np.save(path("plain", "x.npy"), images)
    same(path("plain", "x.npy"), none)
    np.save(path("plain", "x_labels.npy"), np.array(labels, np.int32))
    np.save(path("plain", "labels.npy"), np.zeros(3))
    same(path("plain", "x.npy"))
    np.save(path("named", "val_images.npy"), images)
    np.save(path("named", "val_labels.npy"), np.array(labels, np.float32))
    same(path("named", "val_images.npy"))
    np.save(path("beside", "x.npy"), x.astype(np.float64))
    np.save(path("beside", "labels.npy"), np.array(labels))
    same(path("beside", "x.npy"), hashed=False)
    half = x.astype(np.float16)
    np.save(path("half.npy"), half)
    same(path("half.npy"), none, half.astype(np.float32), hashed=False)
    grey = images[..., 0]
    np.save(path("grey.npy"), grey)
    grey_x = ((grey / np.float32(255) - np.float32(0.5)) / np.float32(0.25)).astype(np.float32)
    same(path("grey.npy"), none, grey_x[:, None], (1, SIDE, SIDE), False)
    same(path("grey.npy"), none, np.repeat(grey_x[:, None], 3, 1), hashed=False)

    for end, pack in (("", bytes), (".gz", gzip.compress)):
        name = write(path(f"idx{end}", f"t10k-images-idx3-ubyte{end}"), pack(idx(grey)))
        same(name, none, grey_x[:, None], (1, SIDE, SIDE), False)
        beside = write(path(f"idx{end}", f"t10k-labels-idx1-ubyte{end}"),
                       pack(idx(np.array(labels, np.uint8))))
        same(name, labels, grey_x[:, None], (1, SIDE, SIDE), False)
        refused(beside, "SHAPE", 40, "rank 1")
        whole = pack(idx(grey))
        for cut in (2, 7, 30, len(whole) - 1):
            refused(write(path("cut", f"images{cut}-idx3-ubyte{end}"), whole[:cut]), "FORMAT", 20)
        refused(write(path("more", f"more-images-idx3-ubyte{end}"), pack(idx(grey) + b"1")),
                "FORMAT", 20, "more than")
        write(beside, pack(idx(np.array(labels[:-1], np.uint8))))
        refused(name, "SHAPE", 40, "labels", "[11]", "[12]")
    huge = bytes([0, 0, 8, 3]) + b"\xff" * 12
    refused(write(path("huge-images-idx3-ubyte"), huge), "LIMIT", 60)
    refused(write(path("bomb-images-idx3-ubyte"), idx(grey)[:4] + b"\0\0\x7f\xff" * 2 + b"\0\0\0\1"),
            "FORMAT", 20, "truncated")
    refused(write(path("floats-images-idx3-ubyte"), bytes([0, 0, 13, 3]) + b"\0" * 12),
            "UNSUPPORTED", 30)

    big = np.random.default_rng(3).integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)
    planes = big.transpose(0, 3, 1, 2).reshape(5, -1)
    kinds = np.arange(5, dtype=np.uint8)[:, None]
    for skipped in (1, 2):
        records = np.concatenate([kinds + 7] * (skipped - 1) + [kinds, planes], 1)
        name = write(path(f"cifar{skipped}.bin"), records.tobytes())
        got = read(name, out, (3, 32, 32))
        want = (big.transpose(0, 3, 1, 2) / np.float32(255) - np.float32(0.5)) / np.float32(0.25)
        assert np.array_equal(got[0], want.astype(np.float32))
        assert got[1].tolist() == list(range(5))
        packed = tar(path(f"cifar{skipped}.tar.gz"),
                     [("cifar/readme.html", b"x"), ("cifar/test.bin", records[3:].tobytes()),
                      ("cifar/data_1.bin", records[:3].tobytes())], "w:gz")
        assert all(np.array_equal(a, b) for a, b in zip(read(packed, out, (3, 32, 32)), got))
        refused(write(path("cut.bin"), records.tobytes()[:-1]), "FORMAT", 20, "CIFAR")

    def npz_is_refused(status, code, *words, **arrays):
        np.savez(path("bad.npz"), **arrays)
        refused(path("bad.npz"), status, code, *words)

    npz_is_refused("FORMAT", 20, "images.npy", pictures=images)
    npz_is_refused("SHAPE", 40, "labels", images=images, labels=np.array(labels[1:]))
    npz_is_refused("RANGE", 50, "label -1", images=images, labels=np.array(labels) - 3)
    npz_is_refused("RANGE", 50, images=images, labels=np.full(N, np.nan))
    npz_is_refused("UNSUPPORTED", 30, images=images.astype(np.int32))
    npz_is_refused("UNSUPPORTED", 30, "Fortran", images=np.asfortranarray(x))
    npz_is_refused("SHAPE", 40, images=images.transpose(0, 3, 1, 2))
    npz_is_refused("SHAPE", 40, images=images.reshape(N, -1))
    npz_is_refused("SHAPE", 40, "[3, 9, 4]", images=x[..., :4])
    npz_is_refused("FORMAT", 20, "no samples", images=images[:0])
    whole = open(path("stored.npz"), "rb").read()
    refused(write(path("cut.npz"), whole[:-30]), "FORMAT", 20)
    flipped = bytearray(whole)
    flipped[whole.index(images.tobytes()[:32]) + 5] ^= 1
    refused(write(path("flipped.npz"), bytes(flipped)), "FORMAT", 20, "images.npy")
    refused(write(path("text.npz"), b"no zip"), "FORMAT", 20)
    refused(write(path("text.npy"), b"no array"), "FORMAT", 20)
    whole = open(path("plain", "x.npy"), "rb").read()
    refused(write(path("cut.npy"), whole[:-1]), "FORMAT", 20, "truncated")
    refused(write(path("more.npy"), whole + b"1"), "FORMAT", 20)


def main():
    rng = np.random.default_rng(2)
    images = rng.integers(0, 256, (N, SIDE, SIDE, 3), dtype=np.uint8)
    labels = [int(v) for v in rng.integers(0, 5, N)]
    labels[0] = 2
    x = images.transpose(0, 3, 1, 2).astype(np.float32) / np.float32(255)
    x = np.ascontiguousarray((x - np.float32(0.5)) / np.float32(0.25))
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, "out.npz")
        np.savez(os.path.join(folder, "first.npz"), images=images)
        hashes = read(os.path.join(folder, "first.npz"), out)[2]
        assert len({h.tobytes() for h in hashes}) == N
        check_arrays(os.path.join(folder, "arrays"), out, images, labels, x, hashes)
        check_images(folder, out, images, labels, x, hashes)
    print("all kinds agree")


main()
