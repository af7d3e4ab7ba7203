"""Self-hosted face recognition server: one core, five vendor wire formats."""

import os

# Both must be set before the libraries are imported anywhere in the process:
# onnxruntime's Linux wheel reports usage to its vendor unless told not to, and a
# BLAS thread pool that spins beside one-thread inference doubles a request's CPU time.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

__version__ = "0.1.0"
