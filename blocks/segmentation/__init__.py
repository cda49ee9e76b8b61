"""Networks that segment: U-Nets, an autoencoder, a head with ASPP."""
