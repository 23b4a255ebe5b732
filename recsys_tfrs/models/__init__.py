"""One file per family: its config, its `tfrs.Model`, its `build()`."""
