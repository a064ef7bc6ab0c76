"""One file a migration, never changed after its release."""
