"""What of AWS the daemon may use, as texts for people: policies, and a queue of its own."""
