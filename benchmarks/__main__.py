"""`python -m benchmarks`: the measurements of speed and memory, one after another, nothing else running.

Accuracies, seed by seed, take hours: `python -m benchmarks.ladder`, `python benchmarks/label_curve.py`.
"""

from benchmarks import cached_top, extraction, fine_tune, memory, text_extraction, whole_fit

for each in (extraction, text_extraction, whole_fit, memory, cached_top, fine_tune):
    print(f"\n{each.__name__}")
    each.main([])
