import shutil

import pytest

import harness


def pytest_addoption(parser):
    parser.addoption(
        "--binaries", default="build", help="where trireme and tests/logits are, as build/asan"
    )
    parser.addoption("--scratch", default="build/e2e", help="where tests put what they make; emptied at the start")
    parser.addoption(
        "--tokenizer_strings", type=int, default=600, help="strings compared for each real vocabulary"
    )


def pytest_configure(config):
    harness.use_binaries(config.getoption("--binaries"))
    harness.use_scratch(config.getoption("--scratch"))


def pytest_terminal_summary(terminalreporter):
    """What was measured, beside what passed."""
    for report in terminalreporter.getreports("passed"):
        for name, value in report.user_properties:
            terminalreporter.write_line(f"{report.nodeid.split('::')[-1]}: {name}: {value}")


@pytest.fixture(scope="session", autouse=True)
def scratch_root():
    """Empty at the start; what a failed run leaves there can be looked at."""
    for needed in harness.TRIREME, harness.LOGITS, harness.SMOLLM2:
        assert needed.exists(), f"{needed} is missing: run tools/test.sh, which makes it"
    shutil.rmtree(harness.SCRATCH, ignore_errors=True)
    harness.SCRATCH.mkdir(parents=True)


@pytest.fixture
def scratch(request):
    """An empty directory for one test, removed when it passed."""
    name = request.node.nodeid.split("/")[-1].replace("::", "-").replace("/", "-")
    path = harness.SCRATCH / name
    path.mkdir()
    yield path
    if not getattr(request.node, "failed", False):
        shutil.rmtree(path)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    if call.when == "call" and outcome.get_result().failed:
        item.failed = True


def smollm2_engine(name, *args):
    return harness.build(harness.SMOLLM2, harness.SCRATCH / name, "--max_seq_len", 512, *args)


@pytest.fixture(scope="session")
def float32_engine():
    """SmolLM2, weights dequantised at build."""
    return smollm2_engine("smollm2-float32", "--dtype", "float32")


@pytest.fixture(scope="session")
def bfloat16_engine():
    return smollm2_engine("smollm2-bfloat16", "--dtype", "bfloat16")


@pytest.fixture(scope="session")
def auto_engine():
    """SmolLM2 as the GGUF has it: Q4_1 blocks, activations in 8-bit blocks."""
    return smollm2_engine("smollm2-auto")
