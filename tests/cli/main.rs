//! The command line as a caller sees it: what each verb prints where, and with which status it ends.

mod printing;
mod space;
