"""Where policies act: Language Rearrangement in a world, or any gymnasium environment with pictures and a sentence."""
