"""What every model must beat: popularity, item-kNN, EASE, iALS."""
