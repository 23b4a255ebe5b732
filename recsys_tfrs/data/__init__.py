"""Raw files -> `Interactions` -> splits -> histories."""
