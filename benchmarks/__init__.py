"""What it costs, measured beside other ways to do the same, on the same server, in the same run."""
