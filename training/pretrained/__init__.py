"""A trained model in a folder of its own, as it is given to others, and on the Hugging Face hub."""
