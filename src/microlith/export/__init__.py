"""From a trained network to files that answer without torch, and the proof that they answer alike."""
