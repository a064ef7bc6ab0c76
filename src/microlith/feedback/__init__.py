"""What became of every request: traces, with secrets taken out."""
