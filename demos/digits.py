"""Is it a 3 or a 1? Train on real handwritten digits, then look inside: what does each weight do to the loss?"""
