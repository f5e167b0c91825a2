//! What turns text into vectors and counts tokens.
