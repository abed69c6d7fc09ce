"""Read a suite from TOML into its schema, and explain what is wrong with it."""
