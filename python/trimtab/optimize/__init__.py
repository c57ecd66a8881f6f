"""Making a model faster, with proof that its answers stay.

Enters: a loaded model and data. Leaves: a model whose layers run in the precisions
that were measured to pay, and a report that says why.
"""
