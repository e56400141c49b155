"""What in an input the verdict rests on."""
