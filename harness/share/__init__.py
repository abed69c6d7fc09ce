"""What results become when they leave the machine: joined, packed, and run again elsewhere."""
