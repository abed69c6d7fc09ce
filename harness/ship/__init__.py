"""What comes after a comparison: the model that it recommends, used, exported and certified."""
