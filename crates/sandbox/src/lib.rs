//! Runs an untrusted command in a locked room.
//!
//! Promise P6: the command sees its workspace (read, write), the roots it was granted and the
//! system's programs and libraries (read, execute), four harmless devices, and nothing else;
//! it has no network and no socket that leads out; its environment holds nothing of ours; its
//! time, memory, processes, descriptors, file sizes and output are bounded; when its main
//! process ends, when it is cancelled or timed out, when the future that runs it is dropped and
//! when this process is killed, everything it started is killed with it.
//!
//! | wall | what it holds | where the kernel lacks it |
//! |---|---|---|
//! | Landlock | contents of files, directories, devices; from ABI 6 signals and abstract sockets | refused |
//! | seccomp | sockets, mounts, tracing, new namespaces, kernel interfaces | refused |
//! | namespaces | processes, file metadata (all but the workspace is mounted read-only), network, IPC | without them the filter forbids what they would have held: changing modes, owners and times, leaving the process group, System V IPC |
//! | rlimits | each process; their product with the process bound is the room's | always there |
//!
//! Known limits: `stat` tells that a path outside exists and how large it is; memory is bounded
//! for each process (`RLIMIT_AS`), so a room may use `memory_bytes` × `processes`; the disk is
//! bounded for each file; `/proc` cannot be opened; root is not subject to `RLIMIT_NPROC`, so
//! for root the bound is the namespace's `pid_max` (Linux 6.14), which counts 300 more.
//!
//! Must not know: tasks, policies, tools. Callers turn a capability into a [`RoomSpec`].
//!
//! The only crate with `unsafe`: between `clone` and `execve` of a process with threads only
//! bare system calls are sound, and those have no safe wrapper.

#[cfg(not(target_os = "linux"))]
compile_error!("rooms are made of Linux's Landlock, seccomp and namespaces");

mod child;
mod ended;
mod error;
mod filter;
mod keeper;
mod kernel;
mod private;
mod program;
mod room;
mod setup;
mod view;

pub use ended::{Ended, Ending, Output};
pub use error::{RoomError, SetupFailure, Stage};
pub use kernel::{Kernel, Lacking};
pub use private::{is_magic, is_private};
pub use room::{Limits, Room, RoomSpec};
