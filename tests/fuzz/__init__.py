"""Random small graphs, run by trimtab and by two others, and compared."""
