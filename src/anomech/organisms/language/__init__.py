"""Chat models with a planted mechanism, each a small adapter on one base model."""
