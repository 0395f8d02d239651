"""What must hold before a landscape is believed: walkers against entropies that are known exactly."""
