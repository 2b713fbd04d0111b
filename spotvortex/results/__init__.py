"""Values that simulator, evaluation and reports share: accounts, verdicts, snapshots."""
