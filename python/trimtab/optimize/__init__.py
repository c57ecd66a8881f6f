"""Cheaper models with the same answers."""
