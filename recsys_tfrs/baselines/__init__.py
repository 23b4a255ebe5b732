"""What every model must beat: popularity, item-kNN, EASE, iALS; biased MF where ratings are predicted."""
