//! `bursar`: arguments, settings, server.

fn main() {}
