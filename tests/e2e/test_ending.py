"""How commands that write files end when somebody ends them: cleanly, or so that the next one clears up."""

import fcntl
import json
import os
import signal
import subprocess
import time

import pytest

import harness
from harness import SMOLLM2, TRIREME, family, trireme

WAIT_SECONDS = 60  # for what comes at once, on a busy machine


def started(*args, cache=None):
    """With signals as a shell in the foreground gives them, whatever the tests were started with."""

    def reset():
        for s in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(s, signal.SIG_DFL)

    return subprocess.Popen(
        [str(a) for a in (TRIREME, *args)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=harness.environment(cache),
        cwd=harness.ROOT,
        preexec_fn=reset,
    )


def entries(directory):
    return sorted(p.name for p in directory.iterdir())


def endless_model(directory):
    """A config of 30 GB in random weights: a writer of it is at work whenever one looks."""
    config = json.loads((family("llama_tied") / "config.json").read_text())
    config |= {"hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 64}
    config |= {"num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128}
    directory.mkdir()
    (directory / "config.json").write_text(json.dumps(config))
    return directory


def writer_of(command, model, output):
    """A process that has begun to write: its temporary directory holds a file."""
    p = started(command, "--model_dir", model, "--output_dir", output, "--load_format", "dummy")
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        for path in output.parent.glob(f"{output.name}.{p.pid}-*.tmp/rank0*"):
            if path.stat().st_size > 0:
                return p, path.parent
        assert p.poll() is None, p.communicate()
        time.sleep(0.005)
    raise AssertionError("nothing is written")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("command", ["convert", "build"])
def test_a_signal_ends_a_writer_cleanly(command, number, scratch):
    model = endless_model(scratch / "hf")
    p, _ = writer_of(command, model, scratch / "out")
    p.send_signal(number)
    _, err = p.communicate(timeout=WAIT_SECONDS)
    assert p.returncode == 128 + number, err
    assert "cancelled" in err
    assert entries(scratch) == ["hf"]


def test_what_a_killed_writer_left_goes_with_the_next(scratch):
    model = endless_model(scratch / "hf")
    p, left = writer_of("convert", model, scratch / "out")
    p.kill()
    p.communicate()
    assert left.is_dir()
    harness.build(family("llama_tied"), scratch / "other")
    assert left.is_dir()  # of another output
    harness.build(family("llama_tied"), scratch / "out")
    assert entries(scratch) == ["hf", "other", "out"]


def test_a_living_writer_is_left_alone(scratch):
    model = endless_model(scratch / "hf")
    p, its = writer_of("convert", model, scratch / "out")
    p.send_signal(signal.SIGSTOP)
    harness.build(family("llama_tied"), scratch / "out")
    assert its.is_dir()
    p.send_signal(signal.SIGINT)
    p.send_signal(signal.SIGCONT)
    p.communicate(timeout=WAIT_SECONDS)
    assert p.returncode == 130
    assert entries(scratch) == ["hf", "out"]


@pytest.mark.parametrize("end", ["signal", "release"])
def test_run_says_that_it_waits_for_another_build(end, scratch):
    cache = scratch / "cache"
    arguments = ["run", SMOLLM2, "--raw", "--prompt", "Hello", "--max_tokens", 2]
    trireme(*arguments, cache=cache)
    (engine,) = [p.parent for p in cache.rglob("rank0.engine")]
    engine.rename(scratch / "moved")
    with open(f"{engine}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        p = started(*arguments, cache=cache)
        said = p.stderr.readline()
        assert said.startswith("waiting for another process"), said
        assert str(engine) in said
        if end == "signal":
            p.terminate()
            p.communicate(timeout=WAIT_SECONDS)
            assert p.returncode == 143
            assert entries(engine.parent) == [f"{engine.name}.lock"]
        else:
            (scratch / "moved").rename(engine)  # the other process is done
            os.remove(lock.name)
    if end == "release":
        _, err = p.communicate(timeout=WAIT_SECONDS)
        assert p.returncode == 0, err
        assert "waiting" not in err and "built" not in err  # said once; nothing was left to build
        assert entries(engine.parent) == [engine.name]


def test_a_failed_build_leaves_nothing_in_the_cache(scratch):
    model = harness.copy_family("llama_tied", scratch / "hf")
    (model / "model.safetensors").write_bytes(b"\0" * 100)
    harness.refused("run", model, "--prompt", "x", cache=scratch / "cache")
    assert entries(scratch / "cache" / "trireme") == []
