//! Every mistake and where it is reported.
