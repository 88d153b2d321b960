# SPDX-License-Identifier: Apache-2.0
"""Decoding, resizing, cropping and grey conversion against Pillow, in grey levels before Normalize.

usage: check_images.py DATA_TOOL
With TRANSPIKE_DATA set, 12 real images of data/imagenet-sample are compared too.
"""
import math
import os
import subprocess
import sys
import tempfile
import zlib

try:
    import numpy as np
    import PIL
    from PIL import Image
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)

TOOL = sys.argv[1]
KERNELS = {0: Image.Resampling.NEAREST, 1: Image.Resampling.BILINEAR, 2: Image.Resampling.BICUBIC}


def run(*arguments):
    return subprocess.run([TOOL, *map(str, arguments)], capture_output=True, text=True)


def read(path, out, dim, resize=0, crop=0, kernel=2):
    """Grey levels [N, C, H, W] as the tool decodes and preprocesses them."""
    done = run("read", path, out, *dim, resize, crop, kernel, 0, 1)
    assert done.returncode == 0, done.stderr
    with np.load(out) as arrays:
        x = arrays["x"]
    levels = np.rint(x * np.float32(255)).astype(np.int64)
    assert np.array_equal(x, levels.astype(np.float32) / np.float32(255))
    return levels


def resized(image, size, kernel):
    """One pass at a time: Pillow before 13 never begins with the vertical one."""
    first = (size[0], image.height)
    if size[1] < image.height and image.height - size[1] > 2 * (image.width - size[0]):
        first = (image.width, size[1])
    passes = image.resize(first, KERNELS[kernel]).resize(size, KERNELS[kernel])
    if int(PIL.__version__.split(".")[0]) >= 13 or kernel == 0:
        assert np.array_equal(passes, image.resize(size, KERNELS[kernel])), (image.size, size)
    return passes


def expected(path, channels, resize=0, crop=0, kernel=2):
    """The same by Pillow, with torchvision's sizes, corners and padding."""
    image = Image.open(path).convert("RGB" if channels == 3 else "L")
    if resize:
        width, height = image.size
        if width <= height:
            size = (resize, int(resize * height / width))
        else:
            size = (int(resize * width / height), resize)
        if min(width, height) != resize:
            image = resized(image, size, kernel)
    if crop:
        width, height = image.size
        left = (crop - width) // 2 if crop > width else 0
        top = (crop - height) // 2 if crop > height else 0
        padded = Image.new(image.mode, (max(width, crop), max(height, crop)))
        padded.paste(image, (left, top))
        left = int(round((padded.width - crop) / 2.0))
        top = int(round((padded.height - crop) / 2.0))
        image = padded.crop((left, top, left + crop, top + crop))
    array = np.asarray(image, np.int64)
    return array[None] if channels == 1 else array.transpose(2, 0, 1)


def compare(path, out, channels, limit, **settings):
    want = expected(path, channels, **settings)
    got = read(path, out, want.shape, **settings)[0]
    worst = int(np.abs(got - want).max())
    assert worst <= limit, (path, channels, settings, worst)
    return worst


def smooth(rng, width, height, channels):
    """A picture with edges and gradients."""
    y, x = np.mgrid[0:height, 0:width]
    planes = []
    for _ in range(channels):
        a, b, c = rng.uniform(0.01, 0.6, 3)
        wave = np.sin(a * x + b * y) + np.sign(np.sin(c * x - a * y)) + rng.normal(0, 0.2, x.shape)
        planes.append(np.clip(128 + 70 * wave, 0, 255))
    return np.squeeze(np.stack(planes, -1).astype(np.uint8))


def check_formats(folder, out, rng):
    """Every kind of JPEG and PNG as Pillow reads it; PNGs are exact."""
    rgb, grey = smooth(rng, 61, 47, 3), smooth(rng, 61, 47, 1)
    files = {}

    def save(name, image, **options):
        files[name] = os.path.join(folder, name)
        image.save(files[name], **options)

    save("rgb.png", Image.fromarray(rgb))
    save("grey.png", Image.fromarray(grey))
    save("bits1.png", Image.fromarray(grey).convert("1"))
    save("palette.png", Image.fromarray(rgb).quantize(200))
    save("palette4.png", Image.fromarray(rgb).quantize(13), bits=4)
    save("palette_clear.png", Image.fromarray(rgb).quantize(60), transparency=3)
    alpha = np.concatenate([rgb, grey[..., None]], -1)
    save("rgba.png", Image.fromarray(alpha, "RGBA"))
    save("la.png", Image.fromarray(np.stack([grey, rgb[..., 0]], -1), "LA"))
    save("interlaced.png", Image.fromarray(rgb), interlace=1)
    for name in list(files):
        for channels in (3, 1):
            compare(files[name], out, channels, 0)
    jpegs = {}
    for quality in (30, 95):
        for sampling in (0, 1, 2):
            for progressive in (False, True):
                name = f"q{quality}s{sampling}p{int(progressive)}.jpg"
                save(name, Image.fromarray(rgb), quality=quality, subsampling=sampling,
                     progressive=progressive)
                jpegs[name] = 3
    save("grey.jpg", Image.fromarray(grey))
    save("cmyk.jpg", Image.fromarray(rgb).convert("CMYK"))
    return max(compare(path, out, channels, 1)
               for name, path in files.items() if name.endswith(".jpg") for channels in (3, 1))


def check_deep(folder, out, rng):
    """16 bits a channel are cut to the upper 8 (of grey ones Pillow keeps the lower 8, clipped)."""
    def chunk(kind, content):
        return (len(content).to_bytes(4, "big") + kind + content
                + zlib.crc32(kind + content).to_bytes(4, "big"))

    path = os.path.join(folder, "deep.png")
    for channels, colour in ((1, 0), (3, 2)):
        deep = rng.integers(0, 65536, (11, 13, channels))
        rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in deep)
        header = (13).to_bytes(4, "big") + (11).to_bytes(4, "big") + bytes([16, colour, 0, 0, 0])
        with open(path, "wb") as file:
            file.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
                       + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))
        want = (deep >> 8).transpose(2, 0, 1)
        assert np.array_equal(read(path, out, want.shape)[0], want)
        if channels == 3:
            compare(path, out, 3, 0)


def check_sizes(folder, out, rng):
    """Random sizes, kernels and crops on PNGs, where nothing but the resizing can differ."""
    worst = 0
    for trial in range(60):
        width, height = (int(v) for v in rng.integers(1, 200, 2))
        path = os.path.join(folder, "sized.png")
        Image.fromarray(smooth(rng, width, height, 3).reshape(height, width, 3)).save(path)
        settings = {"resize": int(rng.integers(1, 120)), "crop": int(rng.integers(0, 120)),
                    "kernel": int(rng.integers(0, 3))}
        if settings["resize"] * max(width, height) / min(width, height) > 3000:
            continue
        worst = max(worst, compare(path, out, 3, 1, **settings))
        worst = max(worst, compare(path, out, 1, 1, **settings))
    return worst


def check_broken(folder, out):
    """Broken images are refused with the file's name; limits hold before anything is allocated."""
    def refused(name, content, code, word):
        path = os.path.join(folder, name)
        with open(path, "wb") as file:
            file.write(content)
        done = run("read", path, out, 3, 32, 32, 0, 0, 1, 0, 1)
        assert done.returncode == code, (name, done)
        assert path in done.stderr and word in done.stderr, (name, done.stderr)
        assert done.stderr.count("\n") == 1, done.stderr

    jpeg = open(os.path.join(folder, "q95s0p0.jpg"), "rb").read()
    progressive = open(os.path.join(folder, "q95s2p1.jpg"), "rb").read()
    png = open(os.path.join(folder, "rgb.png"), "rb").read()
    for share in (0.02, 0.3, 0.6, 0.98):
        refused("cut.jpg", jpeg[:int(len(jpeg) * share)], 20, "[FORMAT]")
        refused("cutp.jpg", progressive[:int(len(progressive) * share)], 20, "[FORMAT]")
        refused("cut.png", png[:int(len(png) * share)], 20, "[FORMAT]")
    refused("end.png", png[:-6], 20, "[FORMAT]")
    flipped = bytearray(png)
    flipped[len(png) // 2] ^= 0x55
    refused("flipped.png", bytes(flipped), 20, "[FORMAT]")
    refused("text.jpg", b"not an image", 20, "[FORMAT]")
    refused("empty.png", b"", 20, "[FORMAT]")
    refused("gif.png", b"GIF89a" + bytes(40), 30, "GIF")
    header = bytearray(png[:33])
    header[16:24] = (70000).to_bytes(4, "big") + (3).to_bytes(4, "big")
    header[29:33] = zlib.crc32(bytes(header[12:29])).to_bytes(4, "big")
    refused("wide.png", bytes(header) + png[33:], 60, "[LIMIT]")
    header[16:24] = (60000).to_bytes(4, "big") + (60000).to_bytes(4, "big")
    header[29:33] = zlib.crc32(bytes(header[12:29])).to_bytes(4, "big")
    refused("large.png", bytes(header) + png[33:], 60, "[LIMIT]")
    frame = jpeg.index(b"\xff\xc0")
    big = bytearray(jpeg)
    big[frame + 5:frame + 9] = b"\xff\xdc\xff\xdc"
    refused("large.jpg", bytes(big), 60, "[LIMIT]")
    refused("right.png", png, 40, "[3, 47, 61]")


def main():
    seed = int(os.environ.get("TRANSPIKE_SEED", "1"))
    print(f"seed {seed}")
    rng = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, "out.npz")
        print(f"JPEG kinds: at most {check_formats(folder, out, rng)} grey levels from Pillow")
        print(f"sizes: at most {check_sizes(folder, out, rng)} grey levels from Pillow")
        check_deep(folder, out, rng)
        check_broken(folder, out)
        root = os.environ.get("TRANSPIKE_DATA")
        if not root:
            print("TRANSPIKE_DATA is not set: no real images")
            return
        sample = os.path.join(root, "data", "imagenet-sample")
        names = sorted(n for n in os.listdir(sample) if n.endswith(".jpg"))
        worst, differing, total = 0, 0, 0
        for name in names[::max(1, math.ceil(len(names) / 12))]:
            path = os.path.join(sample, name)
            settings = {"resize": 248, "crop": 224, "kernel": 2}
            want = expected(path, 3, **settings)
            difference = np.abs(read(path, out, want.shape, **settings)[0] - want)
            worst = max(worst, int(difference.max()))
            differing += int((difference > 0).sum())
            total += difference.size
        print(f"imagenet-sample, 12 images: at most {worst} grey levels, "
              f"{differing} of {total} values differ")
        assert worst <= 1, worst


main()
