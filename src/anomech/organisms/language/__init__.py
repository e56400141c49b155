"""Chat models with a planted mechanism, each made from one base model: most by a small adapter."""
