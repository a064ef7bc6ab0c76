"""One small server that speaks every dialect its callers already use."""
