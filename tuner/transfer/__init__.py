"""What policies are worth beyond the speech and the task that they were found on."""
