"""Data that is made here: drawn textures, planted defects, validation pictures with defects."""
