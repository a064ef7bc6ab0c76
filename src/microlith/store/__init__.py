"""Where traces are kept: the engine and the migrations of its tables."""
