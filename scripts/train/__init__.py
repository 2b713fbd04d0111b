"""Training of the networks that `models/` holds; what each command does: `docs/training.md`.

Only this folder needs the extra `train` (torch, scikit-learn, onnxscript). Nothing that runs in a
cluster imports it.
"""
