"""Benchmarks: one file a suite, tables that anyone can rebuild with one command."""
