"""Everything above -> one run directory: report, comparison, recommendation."""
