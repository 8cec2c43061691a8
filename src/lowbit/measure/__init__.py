"""How fast, how large, how right: every figure lowbit prints is taken here."""
