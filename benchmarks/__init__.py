"""Measurements: `python -m benchmarks` runs all of them; each prints ratios from one run and appends to results/."""
