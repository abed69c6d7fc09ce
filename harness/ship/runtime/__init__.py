"""What a shipped model runs with: files that need NumPy, Pillow and onnxruntime alone, and of which
it has copies."""
