"""The version of this package, where nothing else is loaded with it."""

VERSION = "0.1.0"
