"""Full ranking, metrics with a stated tie rule, intervals, slices."""
