//! The command line as a caller sees it: what each verb prints where, and with which status it
//! ends.

mod dest;
mod exit_codes;
mod fetching;
mod irregular;
mod not_utf8;
mod printing;
mod space;
