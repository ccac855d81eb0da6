"""What is measured of each unit, by Elephant and, bit for bit the same, in bulk."""
