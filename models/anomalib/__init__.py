"""Any image model of anomalib as a model of dlkd."""
