"""Reports: print and measurement side by side, figures, counts."""
