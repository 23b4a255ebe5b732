"""The input pipeline, fit, checkpoints, exact resume, callbacks."""
