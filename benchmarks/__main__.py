"""Run every benchmark, one after the other: ``make bench``."""

import subprocess
import sys

SCRIPTS = (
    "receive",
    "decode",
    "ring",
    "pipeline",
    "busy_kernel",
    "rest_answers",
    "many_symbols",
    "recording",
    "replay",
    "memory_of_files",
    "live_figure",
    "screener",
    "crowd",
    "realism",
)

for script in SCRIPTS:
    print(f"\n=== benchmarks/{script}.py ===", flush=True)
    subprocess.run([sys.executable, "-m", f"benchmarks.{script}"], check=True)
