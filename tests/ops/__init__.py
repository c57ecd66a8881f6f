"""Tests of single operators; one file per file of csrc/ops."""
