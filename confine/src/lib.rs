//! Work on untrusted footage, in a process of its own that can reach nothing else.
//!
//! Codecs are large C libraries, and footage is written by strangers. A [`Work`] is a function over
//! the files of one directory; [`Helper::run`] starts the program again with it, and there, before
//! the first byte of footage is read, a fence closes: limits on memory, time, files and file sizes
//! (setrlimit), no file outside of the work's directory and no network (Landlock), no system call
//! that codecs do not need (seccomp). A work that hangs, crashes or eats memory ends as a
//! [`Failure`] that says whose fault it was; the program that asked lives on.
//!
//! Why so, and what it costs: `docs/decisions/0008`.

mod allowance;
mod check;
mod child;
mod failure;
mod fence;
mod helper;
mod supervise;
mod syscalls;
mod wire;
mod work;

pub use allowance::{Allowance, MEMORY};
pub use check::{Check, Checked};
pub use child::{Entry, child};
pub use failure::Failure;
pub use fence::{Fence, Held};
pub use helper::Helper;
pub use supervise::Usage;
pub use work::Work;
