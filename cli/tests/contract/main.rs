//! The `lifecycle` command from outside: the binary as a person, a script or a sender meets it.

mod commands;
mod dev;
mod kill;
mod process;
