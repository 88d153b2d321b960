# SPDX-License-Identifier: Apache-2.0
import pathlib
import subprocess
import sys
import threading

import numpy as np
import pytest

import transpike


def test_result_of_a_run(spike, pixels):
    net = transpike.Session(spike, threads=2)
    out = net.run(pixels[0])
    assert net.image_shape == (1, 28, 28) and net.steps == 2
    assert out.logits.shape == (24, 10) and out.logits.dtype == np.float32
    assert out.logits_by_step.shape == (24, 2, 10)
    assert np.array_equal(out.logits_by_step[:, -1], out.logits)
    assert (out.steps == 2).all() and (out.tokens > 0).all() and (out.tokens <= 1).all()
    assert (out.energy > 0).all() and (out.energy_full > out.energy).all()
    assert (out.spikes > 0).all() and (out.spikes < out.neurons).all()
    assert len(out) == 24


def test_pixels_and_tensors_give_the_same_bytes(spike, pixels, tensors):
    net = transpike.Session(spike)
    logits = net.run(pixels[0]).logits
    assert logits.tobytes() == net.run(tensors).logits.tobytes()
    assert logits.tobytes() == net.run(None, {"image": tensors})[0].tobytes()
    assert logits.tobytes() == net.run(pixels[0][..., None]).logits.tobytes()
    strided = np.asfortranarray(tensors)
    assert logits.tobytes() == net.run(strided).logits.tobytes()


def test_settings_of_the_session_change_nothing(spike, tensors):
    first = transpike.Session(spike, threads=1, batch=1, isa="scalar").run(tensors)
    second = transpike.Session(spike, threads=3, batch=5).run(tensors)
    assert first.logits_by_step.tobytes() == second.logits_by_step.tobytes()
    assert np.array_equal(first.energy, second.energy)


def test_steps_and_policies(spike, tensors):
    net = transpike.Session(spike)
    everything = net.run(tensors)
    assert net.run(tensors, steps=1).logits.tobytes() == (
        np.ascontiguousarray(everything.logits_by_step[:, 0]).tobytes()
    )
    stopped = net.run(tensors, policy="confidence", exit=0.0)
    assert (stopped.steps == 1).all() and (stopped.energy < everything.energy).all()


def test_a_sweep_of_thresholds_keeps_few_sessions_open(spike, tensors):
    net = transpike.Session(spike)
    first = net.run(tensors, policy="margin", exit=0.1).logits
    for i in range(2, 9):
        net.run(tensors, policy="margin", exit=i / 10)
    assert len(net._opened) <= 4
    assert np.array_equal(net.run(tensors, policy="margin", exit=0.1).logits, first)


def test_merged_and_refined_tokens_can_be_switched_off(onnx, pixels, tensors, tmp_path):
    path = tmp_path / "m.spike"
    transpike.convert(
        onnx, pixels, out=path, calib_images=2, steps=2, levels=2, merge=3, refine=0.5,
        mean=0.286, std=0.353,
    )
    net = transpike.Session(path)
    least = net.run(tensors, mode="balanced")
    merged = net.run(tensors, mode="balanced", refine=False)
    every = net.run(tensors, mode="balanced", merge=False, refine=False)
    assert (least.tokens < merged.tokens).all() and (merged.tokens < every.tokens).all()


def test_threads_share_a_session(spike, tensors):
    net = transpike.Session(spike, threads=1)
    expected = net.run(tensors).logits
    found = [None] * 4

    def work(i):
        found[i] = net.run(tensors[i * 6 : i * 6 + 6]).logits

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert np.concatenate(found).tobytes() == expected.tobytes()


def test_dump_has_every_site(spike, tensors, tmp_path):
    net = transpike.Session(spike)
    out = net.run(tensors[:2], dump_spikes=tmp_path / "s.npz", dump_products=True)
    assert out.logits.tobytes() == net.run(tensors[:2]).logits.tobytes()
    with np.load(tmp_path / "s.npz") as dump:
        spikes = sum(int((dump[k] != 0).sum()) for k in dump.files if k.endswith("t1/codes"))
    assert spikes == out.spikes[:, 0].sum()


def test_ports_memory_and_names(spike):
    net = transpike.Session(spike)
    assert net.get_inputs()[0] == transpike.Port("image", [None, 1, 28, 28], "tensor(float)")
    assert net.get_outputs()[0].shape == [None, 10]
    assert net.memory["weights"] > 0
    assert net.class_names == (None,) * 10
    assert net.preprocess.mean == pytest.approx((0.286,))


@pytest.mark.parametrize(
    "call",
    [
        lambda net: net.run(np.zeros((2, 1, 27, 28), np.float32)),
        lambda net: net.run(np.full((2, 1, 28, 28), np.inf, np.float32)),
        lambda net: net.run(np.zeros((2, 1, 28, 28), np.int32)),
        lambda net: net.run(np.zeros((2, 28, 28), np.uint8), mode="balanced"),
        lambda net: net.run(np.zeros((2, 28, 28), np.uint8), mode="fast", steps=1),
        lambda net: net.run(np.zeros((2, 28, 28), np.uint8), policy="whim"),
        lambda net: net.run(np.zeros((2, 28, 28), np.uint8), policy="net"),
        lambda net: net.run(np.zeros((2, 28, 28), np.uint8), steps=3),
        lambda net: net.run(None, {"pixels": np.zeros((2, 1, 28, 28), np.float32)}),
        lambda net: net.run(["scores"], {"image": np.zeros((2, 1, 28, 28), np.float32)}),
    ],
)
def test_refusals(spike, call):
    with pytest.raises(transpike.Error):
        call(transpike.Session(spike))


def test_no_images_give_no_logits(spike):
    out = transpike.Session(spike).run(np.zeros((0, 1, 28, 28), np.float32))
    assert out.logits.shape == (0, 10) and out.top(3) == []


def test_float_session_is_the_source(onnx, tensors, spike):
    net = transpike.FloatSession(onnx, threads=2)
    name = net.get_inputs()[0].name
    logits = net.run(None, {name: tensors})[0]
    assert logits.shape == (24, 10) and net.get_outputs()[0].shape[1] == 10
    report = transpike.validate(spike, onnx, tensors, mode="exact", timing=False)
    spiking = transpike.Session(spike).run(tensors).logits
    agreement = (logits.argmax(1) == spiking.argmax(1)).mean()
    assert agreement == pytest.approx(report.steps[-1]["agreement"])
    with pytest.raises(transpike.Error):
        net.run(None, {"other": tensors})
    with pytest.raises(transpike.Error):
        net.run(["other"], {name: tensors})


def test_float_session_agrees_with_onnxruntime(onnx, tensors):
    runtime = pytest.importorskip("onnxruntime")
    theirs = runtime.InferenceSession(str(onnx)).run(None, {"image": tensors})[0]
    mine = transpike.FloatSession(onnx).run(None, {"image": tensors})[0]
    np.testing.assert_allclose(mine, theirs, atol=1e-4)


def test_files_that_are_none(tmp_path):
    with pytest.raises(transpike.Error) as caught:
        transpike.Session(tmp_path / "missing.spike")
    assert caught.value.status == "IO" and caught.value.exit_code == 10
    assert "missing.spike" in caught.value.message
    (tmp_path / "bad.spike").write_bytes(b"no archive")
    with pytest.raises(transpike.Error) as caught:
        transpike.Session(tmp_path / "bad.spike")
    assert caught.value.status == "FORMAT" and caught.value.stage


def test_errors_can_be_sent_to_other_processes():
    import pickle

    error = transpike.Error("line [SHAPE]", "SHAPE", 40, "message", "stage", "node", "op", "tensor")
    other = pickle.loads(pickle.dumps(error))
    assert str(other) == "line [SHAPE]" and vars(other) == vars(error)


def test_inspect(spike, onnx):
    assert transpike.inspect(spike)["steps"] == 2
    assert transpike.inspect(onnx)["schema"] == "transpike.inspect/1"


def test_version_is_that_of_the_build():
    root = pathlib.Path(__file__).resolve().parents[2]
    assert f"version: '{transpike.__version__}'" in (root / "meson.build").read_text()
    info = transpike.build_info()
    assert info["version"] == transpike.__version__
    assert info["python"]["numpy"] == np.__version__


def test_the_module_runs_the_command():
    done = subprocess.run(
        [sys.executable, "-m", "transpike", "--version"], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, f"transpike {transpike.__version__}\n"), done
