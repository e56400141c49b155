"""Model organisms: models with a planted mechanism, and the small one that the package ships."""
