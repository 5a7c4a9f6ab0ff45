"""Calibration on the CPU, and INT8 as explicit Q/DQ pairs in the ONNX graph."""
