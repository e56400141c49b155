"""Pure maths on tensors: no state, no I/O, no device moves."""
