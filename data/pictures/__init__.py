"""Pictures and masks: reading, resizing, proportions, sheets of samples."""
