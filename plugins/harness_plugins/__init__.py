"""The plugins that come with the harness: they use the same hooks as anybody else's."""
