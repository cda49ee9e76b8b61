"""Pictures from folders, pipes, videos and cameras, scored by a trial's model or an exported file: `dlkd predict`."""
