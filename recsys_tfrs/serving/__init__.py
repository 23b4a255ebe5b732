"""Signatures and SavedModel export."""
