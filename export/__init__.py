"""Export of trained models: one file from raw pictures to a verdict, for ONNX Runtime, OpenVINO or PyTorch."""
