"""Hostile files: each is made by a test and must be refused with one documented class.

A file of cases is a family; `CASES` gathers them. `worker` loads each under an audit
hook and measures it.
"""
