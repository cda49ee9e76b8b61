"""Parts of several models: students, decoders, noise, crops, anomaly maps."""
