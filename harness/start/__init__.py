"""What one begins with: pages to fill in, a suite that fits some data, a look at the machine."""
