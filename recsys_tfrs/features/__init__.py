"""Columns -> tensors: the one preprocessing layer of training, evaluation, export and serving."""
