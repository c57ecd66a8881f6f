"""ONNX's own tests, all of them, and a ledger of what becomes of each."""
