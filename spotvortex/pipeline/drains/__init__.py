"""The fourth task and its hands: orders carried out, recorded or guarded."""
