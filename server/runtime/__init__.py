"""ONNX Runtime without processes around it: plans, sessions, and what they reach."""
