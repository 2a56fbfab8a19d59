"""A made-up paper whose rows compute numbers from each other; what goes wrong can be chosen."""
