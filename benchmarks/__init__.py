"""Measurements of trimtab beside other CPU inference engines; see README.md."""
