"""A trained model and its predictions for images that belong to no dataset."""
