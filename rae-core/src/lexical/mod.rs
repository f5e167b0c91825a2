//! Words: analysis, postings and scoring. Pure: no I/O, no clock.
