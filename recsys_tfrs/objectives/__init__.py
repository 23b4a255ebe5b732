"""Vectors -> loss."""
