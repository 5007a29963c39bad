"""tl-report: what came of many runs, read from their folders alone, with the statistics that it takes to say so."""
