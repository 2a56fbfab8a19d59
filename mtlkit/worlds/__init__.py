"""Embedded worlds: drawn data sets, each written in the layout of a real one. One file a world."""
