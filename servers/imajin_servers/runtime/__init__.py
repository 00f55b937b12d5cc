"""What every server shares: start-up, settings, errors, logs, channels, image chunks, leases."""
