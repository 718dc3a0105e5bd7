"""`python -m benchmarks`: every measurement, one after another, nothing else running."""

from benchmarks import extraction, memory, whole_fit

for each in (extraction, whole_fit, memory):
    print(f"\n{each.__name__}")
    each.main([])
