"""Any Gymnasium environment as lanes: what it hands over is checked, and workers may step it."""
