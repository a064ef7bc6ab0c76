"""What the commands do, as functions: the packages below put together. Nothing here prints."""
