"""What is watched: the modules of a model, its activation functions, its layers, and the probe that shows them."""
