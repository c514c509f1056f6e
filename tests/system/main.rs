//! Whole-system tests: the program as it is built, real processes, real faults. One binary,
//! so that it links once; each test has its own server, its own free port and its own folder.
//!
//! `OCTOLLM_TEST_SEED` repeats a random run; `OCTOLLM_TEST_SOAK_MINUTES` makes the long ones long.
#![expect(clippy::print_stdout, reason = "a test says its seed and, when it fails, the server's log")]
#![expect(clippy::cast_possible_truncation, reason = "small random numbers and a clock as a seed")]

mod bad_input;
mod bucket;
mod budget;
mod cancel;
mod chance;
mod checker;
mod clocks;
mod command_line;
mod database;
mod deployed;
mod drain;
mod fleet;
mod fleet_budget;
mod fleet_kills;
mod full_disk;
mod interrupt;
mod kill;
mod load;
mod lost_caller;
mod model_server;
mod models;
mod networks;
mod out_folder;
mod partition;
mod partition_budget;
mod poison;
mod readme;
mod replicas;
mod roles;
mod server;
mod sick_provider;
mod tenants;
mod tls;
