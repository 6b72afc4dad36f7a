"""Dead letters: writing them, folding their topic, resolving them."""
