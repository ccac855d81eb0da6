"""Recording on the device: activations are thresholded and packed where they are, and bits leave it column by column."""
