"""What the process asks of the machine."""

import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource, torch
from tl_run.hardware import keep_memory
if {keep}:
    keep_memory()
torch.ones(16 << 20)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
torch.ones(12 << 20)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
def test_a_tensor_takes_the_pages_that_one_before_it_gave_back() -> None:
    def faults(keep: bool) -> int:
        command = [sys.executable, "-c", FAULTS.format(keep=keep)]
        return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    # 48 MiB are 12,288 pages, or 24 huge ones. Of the same size as before it would not fit: aligning takes a little.
    assert faults(keep=True) < faults(keep=False) / 4
