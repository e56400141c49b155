"""Mechanistic anomaly detection."""
