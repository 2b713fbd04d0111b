"""What a command costs before it does anything: processor time of the whole process.

Usage: python -m scripts.bench.start_up [TIMES]
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys

from scripts.bench.machine import machine
from spotvortex.cli.main import COMMANDS

TIMES = 7


def cpu_s(*words: str) -> float:
    """Run the program once and return its user and system time, in seconds."""
    command = [sys.executable, "-m", "spotvortex", *words]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    """Print the median of each."""
    times = int(sys.argv[1]) if len(sys.argv) > 1 else TIMES
    print(machine())
    typed = [("--help",), ("version",), *((command.name, "--help") for command in COMMANDS)]
    for words in typed:
        cpu_s(*words)  # the first run writes the bytecode
        median = statistics.median(cpu_s(*words) for _ in range(times))
        print(f"{' '.join(words):<20} {median:.2f} s")


if __name__ == "__main__":
    main()
