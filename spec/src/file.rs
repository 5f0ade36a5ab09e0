//! The cluster file as written: every key that may be there, nothing decided yet.
