//! oxherd runs a Socket.IO application on every core of one machine.

mod config;
