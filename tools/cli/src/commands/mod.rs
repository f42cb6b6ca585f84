//! The subcommands, one a file: its arguments and what it does.

pub(crate) mod compact;
pub(crate) mod completions;
pub(crate) mod cp;
pub(crate) mod du;
mod elsewhere;
pub(crate) mod export;
pub(crate) mod gc;
pub(crate) mod head;
pub(crate) mod import;
pub(crate) mod info;
pub(crate) mod ls;
pub(crate) mod man;
pub(crate) mod map;
mod of_log;
pub(crate) mod profile;
pub(crate) mod repair;
pub(crate) mod rm;
pub(crate) mod stat;
pub(crate) mod timeline;
pub(crate) mod verify;
pub(crate) mod why;
