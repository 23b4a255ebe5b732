"""Exact and ScaNN search behind one interface."""
