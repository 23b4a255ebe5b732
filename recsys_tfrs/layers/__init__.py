"""Tensors -> vectors."""
