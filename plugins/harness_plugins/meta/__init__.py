"""What strategies that learn to learn share: episodes, and the gradient of what a task learns."""
